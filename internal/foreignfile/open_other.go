//go:build !unix

package foreignfile

const nonBlocking = 0
