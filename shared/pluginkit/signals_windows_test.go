package pluginkit_test

import "os"

func ignoredSignals() []os.Signal { return nil }

func groupGone(int) error { return nil }
