// Package small has a condition that its test notices, one that it does not, and one that cannot matter.
package small

// Sign is -1, 0 or 1.
func Sign(n int) int {
	if n < 0 {
		return -1
	}
	if n > 1000 { // no test has a number that large
		return 2
	}
	if n == 0 { //mutate:ignore the sign of no number is asked for
		return 0
	}
	return 1
}

// Both is the condition of a return.
func Both(a, b bool) bool { return a && b }
