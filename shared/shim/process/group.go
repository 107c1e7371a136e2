package process

// Group is a control group (cgroup v2) that was made for one tree. Only who was started in it, or below who was, is in it: so what it
// holds is ours, whatever its parent, its session and its environment.
type Group struct {
	Path string `json:"path"`
	ID   uint64 `json:"id"` // the folder's inode: a group that has the name later is another one
}
