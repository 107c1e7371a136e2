package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

// maxParams bounds what is read from stdin: a request cannot hold more.
const maxParams = 1 << 20

func (a *app) rpcVerb() *cobra.Command {
	var timeout time.Duration
	v := &cobra.Command{
		Use:               "rpc NAME METHOD [PARAMS-JSON|-]",
		Short:             "Call a method of a gateway and print its payload as JSON",
		Args:              cobra.RangeArgs(2, 3),
		ValidArgsFunction: a.gatewayNames,
		RunE: verb(func(ctx context.Context, args []string) error {
			return a.rpc(ctx, args, timeout)
		}),
	}
	v.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "of the call")
	return v
}

func (a *app) rpc(ctx context.Context, args []string, timeout time.Duration) error {
	if timeout < time.Millisecond {
		return usage("--timeout must be at least 1ms")
	}
	req := control.RPCRequest{Method: args[1], TimeoutMs: timeout.Milliseconds()}
	if len(args) == 3 {
		params, err := a.params(args[2])
		if err != nil {
			return err
		}
		req.Params = params
	}
	ctx, cancel := context.WithTimeout(ctx, timeout+10*time.Second)
	defer cancel()
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	payload, err := client.RPC(ctx, args[0], req)
	if refused, ok := errors.AsType[*control.RPCError](err); ok {
		e := &coded{code: exitFailed, err: fmt.Errorf("the gateway refused: %w", refused)}
		if len(refused.Details) > 0 {
			e.err = fmt.Errorf("%w %s", e.err, refused.Details)
		}
		if refused.Retryable {
			e.hint = "try again"
		}
		return e
	}
	if err != nil {
		return err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, payload, "", "  "); err != nil {
		return fmt.Errorf("the gateway's payload is not JSON: %w", err)
	}
	return a.print(pretty.String())
}

func (a *app) params(word string) (json.RawMessage, error) {
	params := []byte(word)
	if word == "-" {
		var err error
		if params, err = io.ReadAll(io.LimitReader(a.stdin, maxParams+1)); err != nil {
			return nil, fmt.Errorf("cannot read the parameters: %w", err)
		}
		if len(params) > maxParams {
			return nil, usage("the parameters are larger than 1 MiB")
		}
	}
	if !json.Valid(params) {
		return nil, usage("the parameters are not JSON: %.80s", clean(string(params)))
	}
	return params, nil
}
