//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/plugin"
)

// judge says how loud a line is by its words.
type judge struct {
	mode string
	mu   sync.Mutex // guards both below
	seen map[string]bool
	open int
}

func (j *judge) Open(_ context.Context, _ plugin.GatewayFacts, launch string) (classifier.Stream, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open++
	return &sentence{j: j, launch: launch}, nil
}

type sentence struct {
	j      *judge
	launch string
}

func (s *sentence) Close() error {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	s.j.open--
	return nil
}

func (s *sentence) Classify(_ context.Context, lines []classifier.NumberedLine) ([]classifier.Verdict, error) {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	var out []classifier.Verdict
	for _, l := range lines {
		v := classifier.Verdict{Seq: l.Seq, Level: classifier.LevelInfo}
		if strings.Contains(l.Line.Text, "rror") {
			v.Level = classifier.LevelError
		}
		id := fmt.Sprint(s.launch, l.Seq)
		switch {
		case s.j.mode == "forgets-on-resend" && s.j.seen[id], s.j.mode == "mixes-streams-up" && s.j.open > 3:
			v.Level = classifier.LevelDrop
		case s.j.mode == "dies-of-a-long-line" && len(l.Line.Text) > 60<<10:
			os.Exit(9)
		}
		s.j.seen[id] = true
		out = append(out, v)
	}
	if len(out) > 10 && s.j.mode == "judges-out-of-order" {
		out[3], out[7] = out[7], out[3]
	}
	if len(out) == classifier.MaxBatch && s.j.mode == "judges-slowly" {
		time.Sleep(2100 * time.Millisecond)
	}
	return out, nil
}
