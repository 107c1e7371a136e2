package pluginhost

import "context"

// Checksum finds a plugin as a start would, checks all but its pin, and returns path and SHA-256 in lower-case hex: of
// the file, or of the manifest of a directory.
func Checksum(ctx context.Context, s Spec, pluginDir string) (path, sum string, err error) {
	s.SHA256 = ""
	exe, err := resolve(ctx, s, pluginDir)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = exe.file.Close() }()
	if exe.manifest != nil {
		return exe.path, exe.manifest.SHA256, nil
	}
	sum, err = sumOf(s, exe.path, exe.file)
	return exe.path, sum, err
}
