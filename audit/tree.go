package audit

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// The tree is that of RFC 6962 §2.1 with SHA-256: leaf n is row n+1.

var hasher = rfc6962.DefaultHasher

var ranges = &compact.RangeFactory{Hash: hasher.HashChildren}

// leaf is the row's hash in the tree: SHA-256(0x00 ‖ bytes).
func (r row) leaf() []byte { return hasher.HashLeaf(r.bytes()) }

// nodesOf is how many full subtrees a tree of size leaves has.
func nodesOf(size uint64) int64 { return int64(2*size) - int64(bits.OnesCount64(size)) }

// position is where a full subtree lies in audit_nodes: subtrees are numbered
// from 0 in the order in which they become full, for one leaf from below. So a
// log only ever adds at the end, and a reader walks both tables in step.
func position(id compact.NodeID) int64 {
	lastLeaf := (id.Index+1)<<id.Level - 1
	return nodesOf(lastLeaf) + int64(id.Level)
}

// node is one row of audit_nodes.
type node struct {
	pos  int64
	hash []byte
}

// extend adds rows to the tree and gives the nodes that became full.
func extend(r *compact.Range, rows []row) ([]node, error) {
	nodes := make([]node, 0, 2*len(rows))
	for _, row := range rows {
		err := r.Append(row.leaf(), func(id compact.NodeID, hash []byte) {
			nodes = append(nodes, node{position(id), hash})
		})
		if err != nil {
			return nil, fmt.Errorf("audit: tree: %w", err)
		}
	}
	return nodes, nil
}

// rootOf gives the root hash of a tree.
func rootOf(r *compact.Range) ([]byte, error) {
	if r.End() == 0 {
		return hasher.EmptyRoot(), nil
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		return nil, fmt.Errorf("audit: tree: %w", err)
	}
	return root, nil
}

// errNode: a node that must be there is not, or is no hash.
var errNode = errors.New("audit: a node of the tree is missing or malformed")

// readNodes gives the stored hashes of ids, in their order.
func readNodes(ctx context.Context, q Querier, ids []compact.NodeID) ([][]byte, error) {
	hashes := make([][]byte, len(ids))
	for i, id := range ids {
		err := q.QueryRowContext(ctx, "SELECT hash FROM audit_nodes WHERE pos = ?", position(id)).Scan(&hashes[i])
		if errors.Is(err, sql.ErrNoRows) || err == nil && len(hashes[i]) != sha256.Size {
			return nil, errNode
		}
		if err != nil {
			return nil, fmt.Errorf("audit: read the tree: %w", err)
		}
	}
	return hashes, nil
}

// readTree gives the tree of the first size leaves from its stored nodes.
func readTree(ctx context.Context, q Querier, size uint64) (*compact.Range, error) {
	hashes, err := readNodes(ctx, q, compact.RangeNodes(0, size, nil))
	if err != nil {
		return nil, err
	}
	r, err := ranges.NewRange(0, size, hashes)
	if err != nil {
		return nil, fmt.Errorf("audit: tree: %w", err)
	}
	return r, nil
}

// insertNodes stores nodes, many in one statement: the sequencer holds the
// role's only write lock meanwhile.
func insertNodes(ctx context.Context, tx *sql.Tx, nodes []node) error {
	const many = 200 // two parameters each; SQLite takes 32766, PostgreSQL 65535
	for len(nodes) > 0 {
		n := min(many, len(nodes))
		args := make([]any, 0, 2*n)
		for _, x := range nodes[:n] {
			args = append(args, x.pos, x.hash)
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO audit_nodes (pos, hash) VALUES (?,?)"+strings.Repeat(",(?,?)", n-1), args...)
		if err != nil {
			return fmt.Errorf("audit: write the tree: %w", err)
		}
		nodes = nodes[n:]
	}
	return nil
}

// inclusion gives the audit path of leaf index in the tree of size leaves (RFC 6962 §2.1.1).
func inclusion(ctx context.Context, q Querier, index, size uint64) ([][]byte, error) {
	return path(ctx, q, func() (proof.Nodes, error) { return proof.Inclusion(index, size) })
}

// consistency gives the proof between two sizes (RFC 6962 §2.1.2); empty from size 0.
func consistency(ctx context.Context, q Querier, from, to uint64) ([][]byte, error) {
	return path(ctx, q, func() (proof.Nodes, error) { return proof.Consistency(from, to) })
}

func path(ctx context.Context, q Querier, plan func() (proof.Nodes, error)) ([][]byte, error) {
	nodes, err := plan()
	if err != nil {
		return nil, fmt.Errorf("audit: proof: %w", err)
	}
	hashes, err := readNodes(ctx, q, nodes.IDs)
	if err != nil {
		return nil, err
	}
	hashes, err = nodes.Rehash(hashes, hasher.HashChildren)
	if err != nil {
		return nil, fmt.Errorf("audit: proof: %w", err)
	}
	return hashes, nil
}
