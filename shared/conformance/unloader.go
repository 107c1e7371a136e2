package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/unloader"
)

// unloaderChecks unload nothing that exists: the services of this machine are not for tests.
func unloaderChecks() []Check {
	k := plugin.KindUnloader
	return []Check{
		{
			ID: "unloader/inspect", Kind: k, Title: "Inspect answers the same each time, also to several callers at once",
			Row: "Unloader.Inspect: 15 s, idempotent, concurrent", try: unloaderInspect,
		},
		{
			ID: "unloader/unknown", Kind: k, Title: "Unload of a service that there is not changes nothing",
			Row: "Unloader.Unload: not_found", try: unloaderUnknown,
		},
		{
			ID: "unloader/foreign-record", Kind: k, Title: "Restore refuses a record that is not its own",
			Row: "Unloader.Restore: invalid_argument", try: unloaderForeign,
		},
	}
}

// services asks once; none and unsupported are answers.
func (rn *runner) services(ctx context.Context, p Process) (string, error) {
	bound, cancel := rn.within(ctx, deadlineUnits)
	defer cancel()
	list, err := unloader.NewClient(p.Conn()).Inspect(bound, plugin.GatewayFacts{
		Name: "verify", Port: 18789,
		Command: []string{"openclaw"}, Profile: "openclaw",
	})
	if lost := rn.lost(p, "Unloader.Inspect", err); lost != nil {
		return "", lost
	}
	if err != nil {
		if fault.CodeOf(err) == fault.Unsupported {
			return string(fault.Unsupported), nil
		}
		return "", breach("no service is an answer; the only error that is meant is unsupported", "Inspect fails: %v",
			err)
	}
	found := []string{fmt.Sprintf("%d services", len(list))}
	for _, s := range list {
		if s.ID == "" || s.Manager == "" || s.Reason == "" {
			return "", breach("see the comments of PlatformService",
				"a service has no id, no manager or no reason: %+v", s)
		}
		found = append(found, s.ID)
	}
	return strings.Join(found, " "), nil
}

func unloaderInspect(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	want, err := rn.services(ctx, p)
	if err != nil {
		return err
	}
	errs := make([]error, 4)
	var calls sync.WaitGroup
	for n := range errs {
		calls.Go(func() {
			got, err := rn.services(ctx, p)
			if err == nil && got != want {
				err = breach("Inspect looks and changes nothing", "asked again it finds %s, before it found %s", got,
					want)
			}
			errs[n] = err
		})
	}
	calls.Wait()
	rn.noteDown("%s", want)
	return errors.Join(errs...)
}

func unloaderUnknown(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	bound, cancel := rn.within(ctx, deadlineChange)
	defer cancel()
	got, err := unloader.NewClient(p.Conn()).Unload(bound, plugin.GatewayFacts{Name: "verify", Port: 18789},
		"gatehost-verify/no-such-service")
	if lost := rn.lost(p, "Unloader.Unload", err); lost != nil {
		return lost
	}
	switch code := fault.CodeOf(err); {
	case err == nil && got.Changed:
		return breach("answer not_found", "Unload of a service that there is not says that it changed something")
	case err != nil && code != fault.NotFound && code != fault.Unsupported:
		return breach("answer not_found", "Unload of a service that there is not: %s", outcome(err))
	default:
		return nil
	}
}

func unloaderForeign(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	for _, record := range []string{"", "{}", "\x00\xff", `{"version": 99, "manager": "no-manager"}`} {
		bound, cancel := rn.within(ctx, deadlineChange)
		changed, err := unloader.NewClient(p.Conn()).Restore(bound, []byte(record))
		cancel()
		if lost := rn.lost(p, "Unloader.Restore", err); lost != nil {
			return lost
		}
		if code := fault.CodeOf(err); changed || code != fault.InvalidArgument && code != fault.Unsupported {
			return breach("answer invalid_argument", "Restore of the record %q, changed %v: %s", record, changed,
				outcome(err))
		}
	}
	return nil
}
