package hsm_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
)

func TestTheGenerationGrowsAndOneObjectStays(t *testing.T) {
	token := hsmtest.Token(t)
	before := len(objectFiles(t))
	for n := range int64(5) {
		if got, err := token.Generation(ctx); err != nil || got != n {
			t.Fatalf("generation %d %v, want %d", got, err, n)
		}
		if err := token.RaiseGeneration(ctx, n+1); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int64{4, 5} {
		if err := token.RaiseGeneration(ctx, n); err == nil {
			t.Errorf("5 was raised to %d", n)
		}
	}
	if more := len(objectFiles(t)) - before; more != 1 {
		t.Errorf("%d objects are left", more)
	}
}

// objectFiles finds SoftHSM's files of objects.
func objectFiles(t *testing.T) map[string]bool {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(hsmtest.Directory(t), "*", "*.object"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, path := range all {
		found[path] = true
	}
	return found
}

// TestAHalfWrittenGenerationIsNone cuts the object of the newest generation at every length, as a kill inside the write
// would: the one before counts, the token works, and the next start raises it.
func TestAHalfWrittenGenerationIsNone(t *testing.T) {
	cfg := hsmtest.Config(t)
	before := objectFiles(t)
	raise := func(n int64) (file string) {
		token, err := hsm.Open(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := token.RaiseGeneration(ctx, n); err != nil {
			t.Fatal(err)
		}
		if err := token.Close(); err != nil {
			t.Fatal(err)
		}
		now := objectFiles(t)
		maps.DeleteFunc(now, func(path string, _ bool) bool { return before[path] })
		if len(now) != 1 {
			t.Fatalf("%d objects of a generation", len(now))
		}
		return slices.Collect(maps.Keys(now))[0]
	}
	first := raise(1)
	whole, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	second := raise(2)
	newest, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	cuts, ignored := 0, 0
	for length := 0; length < len(newest); length += 7 {
		if err := os.WriteFile(first, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(second, newest[:length], 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := hsm.Open(ctx, cfg)
		if err != nil {
			t.Fatalf("cut to %d bytes: %v", length, err)
		}
		// Whole again from where its value is in the file: then it counts, as it may.
		n, err := token.Generation(ctx)
		if err != nil || n != 1 && n != 2 {
			t.Errorf("cut to %d bytes: generation %d %v", length, n, err)
		}
		if n == 1 {
			ignored++
		}
		if _, err := token.MAC(ctx, hsmtest.MAC, []byte("x")); err != nil {
			t.Errorf("cut to %d bytes: %v", length, err)
		}
		if err := token.RaiseGeneration(ctx, 3); err != nil {
			t.Errorf("cut to %d bytes: %v", length, err)
		}
		if n, err := token.Generation(ctx); err != nil || n != 3 {
			t.Errorf("cut to %d bytes, raised: generation %d %v", length, n, err)
		}
		if err := token.Close(); err != nil {
			t.Fatal(err)
		}
		for path := range objectFiles(t) {
			if !before[path] {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		cuts++
	}
	if cuts < 20 || ignored < cuts/2 {
		t.Errorf("%d cuts, of which %d made the object none", cuts, ignored)
	}
}
