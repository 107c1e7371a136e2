package small

import (
	"os"
	"os/exec"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("CHILD") != "" {
		os.Exit(map[bool]int{true: 3}[Both(true, false)])
	}
	os.Exit(m.Run())
}

func TestNegativeNumbers(t *testing.T) {
	if os.Getenv("SMALL_FAILS") != "" {
		t.Fatal("it fails")
	}
	if Sign(-3) != -1 {
		t.Error("the sign of -3 is not -1")
	}
}

// It has only the variable that makes it a child: the environment does not tell it which condition is negated.
func TestBothInAnotherProcess(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"CHILD=1"}
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}
