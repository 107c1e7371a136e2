// Package wiretest helps the tests of the adapters: a connection in memory, and values of any type of the vocabulary
// with every field set, so that a field that an adapter forgets does not survive the round trip.
package wiretest

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"pgregory.net/rapid"

	"github.com/gatehost/gatehost/shared/internal/wire"
)

// Dial serves what register registers and connects to it, until the test ends.
func Dial(t *testing.T, register func(grpc.ServiceRegistrar)) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer(grpc.MaxRecvMsgSize(wire.MaxMessage))
	register(s)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l)
	}()
	conn, err := grpc.NewClient("passthrough:bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(wire.MaxMessage)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		s.Stop()
		<-served
	})
	return conn
}

// Rules draw the fields that cannot have any value, by "Type.Field" or, for all fields of a type, by its name.
type Rules map[string]func(*rapid.T) any

// Draw makes a value of T with no field left at its zero value, except where a rule says so.
func Draw[T any](t *rapid.T, rules Rules) T {
	var out T
	draw(t, rules, reflect.ValueOf(&out).Elem(), "", reflect.TypeFor[T]().String())
	return out
}

func draw(t *rapid.T, rules Rules, v reflect.Value, field, label string) {
	for _, key := range []string{field, v.Type().String()} {
		if rule, ok := rules[key]; ok && key != "" {
			if x := rule(t); x != nil {
				v.Set(reflect.ValueOf(x).Convert(v.Type()))
			}
			return
		}
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, label),
			rapid.Int64Range(0, 999_999_999).Draw(t, label)).UTC()))
		return
	case time.Duration:
		v.SetInt(rapid.Int64Range(1, int64(time.Minute)).Draw(t, label))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(rapid.StringMatching(`[a-zß-ü0-9][ -~äöü€𝄞]{0,20}`).Draw(t, label))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.Int64Range(1, 1<<30).Draw(t, label))
	case reflect.Uint8:
		v.SetUint(rapid.Uint64Range(0, 255).Draw(t, label))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.Uint64Range(1, 1<<31).Draw(t, label))
	case reflect.Float64:
		v.SetFloat(rapid.Float64Range(0.001, 1e6).Draw(t, label))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		draw(t, rules, v.Elem(), "", label)
	case reflect.Slice:
		n := rapid.IntRange(1, 3).Draw(t, label+" length")
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			draw(t, rules, v.Index(i), "", fmt.Sprintf("%s[%d]", label, i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rapid.IntRange(1, 3).Draw(t, label+" length") {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			draw(t, rules, key, "", label+" key")
			draw(t, rules, value, "", label+" value")
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			draw(t, rules, v.Field(i), v.Type().String()+"."+f.Name, label+"."+f.Name)
		}
	default:
		t.Fatalf("wiretest cannot draw %s", v.Type())
	}
}

// Same fails with both values when they differ.
func Same(t rapid.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s changed on its way:\n got %+v\nwant %+v", what, got, want)
	}
}
