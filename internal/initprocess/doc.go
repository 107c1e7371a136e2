// Package initprocess is process 1 of a container: it runs one program, the host, passes signals on to it, reaps every
// orphan that the kernel gives to it, and starts the program again when it was killed. The gateways that the host left
// live on meanwhile, and the next host adopts them.
package initprocess
