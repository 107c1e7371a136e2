// Command skips reads what gotestsum wrote, fails when a test was skipped that is not on the list, and closes with the count.
// usage: skips LIST RESULT.json...
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type event struct{ Action, Package, Test string }

func main() {
	allowed := read(os.Args[1])
	counts := map[string]int{}
	bad := 0
	for _, path := range os.Args[2:] {
		f, err := os.Open(path)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		in := bufio.NewScanner(f)
		in.Buffer(nil, 16<<20)
		for in.Scan() {
			var e event
			if json.Unmarshal(in.Bytes(), &e) != nil || e.Test == "" {
				continue
			}
			counts[e.Action]++
			name := strings.TrimPrefix(e.Package, "github.com/gatehost/gatehost/") + "." + e.Test
			if e.Action == "skip" && !allowed[name] {
				fmt.Printf("skipped without leave: %s (add it with a reason to %s, or make it run)\n", name, os.Args[1])
				bad++
			}
		}
		_ = f.Close()
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", counts["pass"], counts["fail"], counts["skip"])
	if bad > 0 || counts["fail"] > 0 || counts["pass"] == 0 {
		os.Exit(1)
	}
}

func read(path string) map[string]bool {
	data, err := os.ReadFile(path)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	out := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && !strings.HasPrefix(line, "#") {
			out[fields[0]] = true
		}
	}
	return out
}
