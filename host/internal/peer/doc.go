// Package peer proves whose program is at the other end of a TCP connection within this machine, before a secret is
// sent there and before an answer is believed. On Linux it reads the row of the other socket in /proc/net/tcp and tcp6
// (proc_pid_net(5)): that row has the user id and the inode, and /proc/PID/fd shows which process holds that inode. On
// other platforms it asks gopsutil for the process. It knows connections and processes; it does not know what a gateway
// is.
package peer
