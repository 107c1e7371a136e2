package session

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/gatehost/gatehost/internal/atomicfile"
)

// Device is the identity of this host towards gateways: an Ed25519 key and the id that follows from it (B145).
type Device struct {
	ID  string
	key ed25519.PrivateKey
}

// deviceFile is the form on disk; it also reads files of the reference (B144).
type deviceFile struct {
	Version       int    `json:"version"`
	DeviceID      string `json:"deviceId"`
	PublicKeyPEM  string `json:"publicKeyPem"`
	PrivateKeyPEM string `json:"privateKeyPem"`
	CreatedAtMs   int64  `json:"createdAtMs"`
}

// LoadDevice reads the identity at path, or makes one. It renames a file that is no identity, never overwrites it,
// and returns an error that says so: a new identity would have to be paired again (B147). The next call makes one.
func LoadDevice(path string) (*Device, error) {
	data, err := readDevice(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newDevice(path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read device identity: %w", err)
	}
	d, file, err := parseDevice(data)
	if errors.Is(err, errNewer) {
		return nil, fmt.Errorf("cannot use device identity %s: %w; gatehost does not change it: use that gatehost, "+
			"or move the file away", path, err)
	}
	if err != nil {
		aside := path + ".broken-" + strconv.FormatInt(time.Now().UnixMilli(), 10)
		if moveErr := os.Rename(path, aside); moveErr != nil {
			return nil, errors.Join(fmt.Errorf("cannot use device identity %s: %w", path, err), moveErr)
		}
		return nil, fmt.Errorf("cannot use device identity %s: %w; it was set aside as %s: restore a good copy, or "+
			"start again to make a new identity and pair it", path, err, aside)
	}
	if file.DeviceID != d.ID || readableByOthers(path) { // B146, B144
		file.DeviceID = d.ID
		return d, writeDevice(path, file)
	}
	return d, nil
}

// readDevice reads a regular file. Opening a FIFO would hang, and a huge file would fill the memory.
func readDevice(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file; move it away", path)
	case info.Size() > maxDevice:
		return make([]byte, maxDevice+1), nil // parseDevice says what is wrong with it
	}
	return os.ReadFile(path)
}

const maxDevice = 64 << 10

var errNewer = errors.New("it was made by a newer gatehost")

func readableByOthers(path string) bool {
	info, err := os.Stat(path)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0
}

func parseDevice(data []byte) (*Device, deviceFile, error) {
	var file deviceFile
	if len(data) > maxDevice {
		return nil, file, errors.New("it is too large")
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, file, errors.New("it is not JSON")
	}
	if file.Version > 1 {
		return nil, file, fmt.Errorf("%w (version %d, this one reads 1)", errNewer, file.Version)
	}
	if file.Version != 1 {
		return nil, file, fmt.Errorf("its version is %d, want 1", file.Version)
	}
	block, _ := pem.Decode([]byte(file.PrivateKeyPEM))
	if block == nil {
		return nil, file, errors.New("its private key is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, file, errors.New("its private key cannot be read")
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, file, errors.New("its private key is not Ed25519")
	}
	d := deviceOf(key)
	// B148
	if block, _ := pem.Decode([]byte(file.PublicKeyPEM)); block == nil || string(block.Bytes) != string(d.spki()) {
		return nil, file, errors.New("its public key does not belong to its private key")
	}
	return d, file, nil
}

func deviceOf(key ed25519.PrivateKey) *Device {
	sum := sha256.Sum256(key.Public().(ed25519.PublicKey)) //nolint:forcetypeassert // documented
	return &Device{ID: hex.EncodeToString(sum[:]), key: key}
}

func (d *Device) spki() []byte {
	der, _ := x509.MarshalPKIXPublicKey(d.key.Public()) // an Ed25519 key always marshals
	return der
}

// PublicKey returns the raw key in base64url without padding, the form that the gateway expects.
func (d *Device) PublicKey() string {
	//nolint:forcetypeassert // documented
	return base64.RawURLEncoding.EncodeToString(d.key.Public().(ed25519.PublicKey))
}

func (d *Device) sign(payload string) string {
	return base64.RawURLEncoding.EncodeToString(ed25519.Sign(d.key, []byte(payload)))
}

func newDevice(path string) (*Device, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("cannot make device identity: %w", err)
	}
	d := deviceOf(key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("cannot make device identity: %w", err)
	}
	return d, writeDevice(path, deviceFile{
		Version: 1, DeviceID: d.ID, CreatedAtMs: time.Now().UnixMilli(),
		PublicKeyPEM:  string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: d.spki()})),
		PrivateKeyPEM: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
}

// writeDevice replaces the file atomically, 0600 in a 0700 directory.
func writeDevice(path string, file deviceFile) error {
	data, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write device identity: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("cannot write device identity: %w", err)
	}
	if err := atomicfile.Write(path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("cannot write device identity: %w", err)
	}
	return nil
}
