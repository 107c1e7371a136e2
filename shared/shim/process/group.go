package process

// Group is a control group (cgroup v2) that was made for one tree. Only processes that were started in it, and their
// descendants, are in it: they are ours, whatever their parent, their session and their environment.
type Group struct {
	Path string `json:"path"`
	ID   uint64 `json:"id"` // the folder's inode: a group that gets the name later is another one
}
