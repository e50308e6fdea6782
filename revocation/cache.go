package revocation

import "sync"

// cache keeps values up to a number of bytes. Who has no room takes the place of
// a stranger's choice: map order is random, so nobody can push out what he wants.
type cache[V any] struct {
	mu   sync.Mutex
	most int
	used int
	by   map[string]kept[V]
}

type kept[V any] struct {
	value V
	size  int
}

func newCache[V any](most int) *cache[V] {
	return &cache[V]{most: most, by: map[string]kept[V]{}}
}

func (c *cache[V]) get(key string) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.by[key]
	return k.value, ok
}

func (c *cache[V]) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used -= c.by[key].size
	delete(c.by, key)
}

// overhead is what a value costs beside its bytes, roughly: certificates and map.
const overhead = 4 << 10

// put keeps a value of size bytes; what would take a quarter of the room is not kept.
func (c *cache[V]) put(key string, value V, size int) {
	size += overhead
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used -= c.by[key].size
	delete(c.by, key)
	if size > c.most/4 {
		return
	}
	for other, k := range c.by {
		if c.used+size <= c.most {
			break
		}
		c.used -= k.size
		delete(c.by, other)
	}
	c.by[key] = kept[V]{value, size}
	c.used += size
}
