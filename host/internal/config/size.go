package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as "8MiB".
type Size int64

// units starts with the longest name, so that "MiB" is not read as "B".
var units = []struct { //nolint:gochecknoglobals // a constant table
	name   string
	factor int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
}

// ParseSize reads a whole number and a unit: B, kB, MB, GB, TB (thousands) or KiB, MiB, GiB, TiB (1024).
func ParseSize(s string) (Size, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.factor {
			break
		}
		return Size(n * u.factor), nil
	}
	return 0, fmt.Errorf("%q is not a size such as \"8MiB\"", s)
}

// String returns what ParseSize reads, in the largest unit of 1024 that gives a whole number.
func (s Size) String() string {
	for _, u := range []int{3, 2, 1, 0} {
		if f := units[u].factor; s >= Size(f) && int64(s)%f == 0 {
			return strconv.FormatInt(int64(s)/f, 10) + units[u].name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}
