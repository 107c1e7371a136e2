package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

func problem(status int, code, detail string) *control.Problem {
	return &control.Problem{Status: status, Code: code, Title: http.StatusText(status), Detail: detail}
}

// statuses by meaning; all others are 500.
var statuses = map[fault.Code]int{
	fault.NotFound: http.StatusNotFound, fault.AlreadyExists: http.StatusConflict,
	fault.InvalidArgument: http.StatusBadRequest, fault.FailedPrecondition: http.StatusConflict,
	fault.PermissionDenied: http.StatusForbidden, fault.Unsupported: http.StatusNotImplemented,
	fault.Unavailable: http.StatusServiceUnavailable, fault.DeadlineExceeded: http.StatusGatewayTimeout,
	fault.Cancelled: http.StatusServiceUnavailable, fault.Exhausted: http.StatusTooManyRequests,
	fault.Conflict: http.StatusConflict, fault.PluginGone: http.StatusBadGateway,
	fault.PluginDown: http.StatusServiceUnavailable,
}

// problemOf turns the error of a port into a problem of the API.
func problemOf(err error) *control.Problem {
	if p, ok := errors.AsType[*control.Problem](err); ok {
		return p
	}
	if errors.Is(err, errStopping) {
		p := problem(http.StatusServiceUnavailable, control.CodeHostRestarting, "the host is shutting down")
		p.Hint, p.Retryable = "try again when the host runs again", true
		return p
	}
	code := fault.CodeOf(err)
	if code == fault.Internal {
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			code = fault.DeadlineExceeded
		case errors.Is(err, context.Canceled):
			code = fault.Cancelled
		}
	}
	status, ok := statuses[code]
	if !ok {
		status = http.StatusInternalServerError
	}
	p := problem(status, string(code), err.Error())
	p.Hint = fault.HintOf(err)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		p.Retryable = f.Retryable
	}
	switch code {
	case fault.Unsupported:
		p.Code = control.CodeNotImplemented
	case fault.DeadlineExceeded:
		p.Code = control.CodeTimedOut
	case fault.InvalidArgument:
		p.Code = control.CodeBadRequest
	default:
	}
	return p
}

func writeProblem(w http.ResponseWriter, p *control.Problem) {
	writeAs(w, "application/problem+json", p.Status, p)
}

func writeJSON(w http.ResponseWriter, status int, v any) { writeAs(w, "application/json", status, v) }

func writeAs(w http.ResponseWriter, kind string, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil { // a bug in a port: its answer cannot be encoded
		status, kind = http.StatusInternalServerError, "application/problem+json"
		data, _ = json.Marshal(problem(status, control.CodeInternal, "bug: cannot encode the answer: "+err.Error()))
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // a client that disconnected needs no answer
}
