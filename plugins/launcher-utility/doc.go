// Package launcherutility is the launcher that works anywhere: shared/shimlauncher and a table of one key. It uses only
// what a third party's launcher could.
package launcherutility
