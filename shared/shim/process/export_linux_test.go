package process

// GroupDir is the folder of a control group.
func GroupDir(own, mounts string) (string, error) { return groupDir(own, mounts) }
