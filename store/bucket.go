package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"

	"tekend/signer"
	"tekend/strictyaml"
)

// bucket keeps blobs as objects of an S3-compatible store. What the store has answered is durable there.
type bucket struct{ b *blob.Bucket }

// bucketKey is the file that BlobKeyFile names.
type bucketKey struct {
	AccessKeyID     string `yaml:"access_key_id"`
	SecretAccessKey string `yaml:"secret_access_key"`
}

// openBucket opens s3://BUCKET?endpoint=…&region=…&path_style=true. It asks the store, so that a wrong address or key is
// known at the start.
func openBucket(ctx context.Context, address, keyFile string) (*bucket, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("the address must be s3://BUCKET?endpoint=https://HOST&region=REGION, without a name, a key or a path")
	}
	opts := s3.Options{
		// Objects are streamed: only the wait for an answer has a limit, not the transfer.
		HTTPClient: &http.Client{Transport: &http.Transport{
			ResponseHeaderTimeout: 30 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 16,
			TLSHandshakeTimeout: 10 * time.Second,
		}},
		RetryMaxAttempts: 3,
	}
	for name, values := range u.Query() {
		v := values[len(values)-1]
		switch name {
		case "endpoint":
			opts.BaseEndpoint = aws.String(v)
		case "region":
			opts.Region = v
		case "path_style":
			opts.UsePathStyle = v == "true"
		default:
			return nil, fmt.Errorf("the address has an unknown part %q; known are endpoint, region and path_style", name)
		}
	}
	if opts.Region == "" {
		return nil, errors.New("the address names no region")
	}
	key, err := readBucketKey(keyFile)
	if err != nil {
		return nil, err
	}
	opts.Credentials = credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, "")
	b, err := s3blob.OpenBucket(ctx, s3.New(opts), u.Host, nil)
	if err != nil {
		return nil, err
	}
	if ok, err := b.IsAccessible(ctx); err != nil || !ok {
		return nil, errors.Join(errors.New("the bucket is not there or the key may not use it"), err, b.Close())
	}
	return &bucket{b}, nil
}

func readBucketKey(path string) (key bucketKey, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return key, fmt.Errorf("blobs_key_file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return key, fmt.Errorf("blobs_key_file %s is open to others (mode %04o); make it 0600", path, info.Mode().Perm())
	}
	if err := strictyaml.Read(path, &key); err != nil {
		return key, fmt.Errorf("blobs_key_file: %w", err)
	}
	if key.AccessKeyID == "" || key.SecretAccessKey == "" {
		return key, errors.New("blobs_key_file must hold access_key_id and secret_access_key")
	}
	return key, nil
}

func (b *bucket) Close() error { return b.b.Close() }

// put uploads in parts of partSize, one after the other: memory does not grow with the document.
func (b *bucket) put(ctx context.Context, name string, r io.Reader) error {
	const partSize = 8 << 20 // 10 000 parts at most: documents up to 80 GB
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before Close it makes the store forget the upload
	w, err := b.b.NewWriter(ctx, name, &blob.WriterOptions{
		BufferSize: partSize, MaxConcurrency: 1, ContentType: "application/octet-stream",
	})
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, r, make([]byte, copySize)); err != nil {
		cancel()
		_ = w.Close() // reports the cancelling
		return err
	}
	return w.Close()
}

func (b *bucket) open(ctx context.Context, name string) (signer.BlobFile, error) {
	a, err := b.b.Attributes(ctx, name)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, signer.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &remoteFile{ctx: ctx, b: b.b, name: name, size: a.Size}, nil
}

func (b *bucket) drop(ctx context.Context, name string) error { return b.b.Delete(ctx, name) }

func (b *bucket) each(ctx context.Context, f func(found) error) error {
	list := b.b.List(nil)
	for {
		o, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(found{name: o.Key, file: o.Key, changed: o.ModTime}); err != nil {
			return err
		}
	}
}

// blockSize is what one request to the store fetches; the last blockCount blocks are kept, because a reader of PDF goes
// from the end to the cross-reference table and back.
const (
	blockSize  = 1 << 20
	blockCount = 4
)

// remoteFile reads an object at any place, by whole blocks.
type remoteFile struct {
	ctx  context.Context // of the one who opened it: io.ReaderAt has none
	b    *blob.Bucket
	name string
	size int64

	mu     sync.Mutex
	blocks []block // the newest last
}

type block struct {
	n    int64
	data []byte
}

func (f *remoteFile) Close() error { return nil }

// ReadAt is io.ReaderAt's.
func (f *remoteFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read blob: negative place")
	}
	n := 0
	for n < len(p) {
		if off >= f.size {
			return n, io.EOF
		}
		data, err := f.block(off / blockSize)
		if err != nil {
			return n, err
		}
		c := copy(p[n:], data[off%blockSize:])
		n, off = n+c, off+int64(c)
	}
	return n, nil
}

func (f *remoteFile) block(n int64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.blocks {
		if b.n == n {
			return b.data, nil
		}
	}
	length := min(blockSize, f.size-n*blockSize)
	r, err := f.b.NewRangeReader(f.ctx, f.name, n*blockSize, length, nil)
	if err != nil {
		return nil, fmt.Errorf("read blob: %w", err)
	}
	data := make([]byte, length)
	_, err = io.ReadFull(r, data)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read blob: %w", err)
	}
	if len(f.blocks) == blockCount {
		f.blocks = append(f.blocks[:0], f.blocks[1:]...)
	}
	f.blocks = append(f.blocks, block{n, data})
	return data, nil
}
