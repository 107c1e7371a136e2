package conformance

import (
	"context"
	"strings"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	pb2 "github.com/gatehost/gatehost/shared/pb/pluginv1alpha2"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// doctorVersions are the versions of the doctor service that both the plugin and this suite speak, lowest first.
func (b *bench) doctorVersions() []uint32 {
	var out []uint32
	for v := uint32(pluginkit.ServiceVersion); v <= pluginkit.ExperimentalDoctorVersion; v++ {
		for _, s := range b.info.Services {
			if s.Kind == plugin.KindDoctor && s.MinVersion <= v && v <= s.MaxVersion {
				out = append(out, v)
				break
			}
		}
	}
	return out
}

// medic is the doctor service of a process in the version in which the host would use it.
func (b *bench) medic(p Process) pb.DoctorServiceClient {
	versions := b.doctorVersions()
	if len(versions) == 0 {
		return pb.NewDoctorServiceClient(p.Conn())
	}
	return medicIn(p, versions[len(versions)-1])
}

// medicIn is the doctor service in one version. The requests and responses of the second have the same fields under the same numbers as those
// of the first, so what differs is the name of the service.
func medicIn(p Process, version uint32) pb.DoctorServiceClient {
	if version == pluginkit.ExperimentalDoctorVersion {
		return pb.NewDoctorServiceClient(renamed{p.Conn(), pb.DoctorService_ServiceDesc.ServiceName, pb2.DoctorService_ServiceDesc.ServiceName})
	}
	return pb.NewDoctorServiceClient(p.Conn())
}

// renamed calls another service of the same shape.
type renamed struct {
	cc       grpc.ClientConnInterface
	from, to string
}

func (r renamed) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return r.cc.Invoke(ctx, strings.Replace(method, r.from, r.to, 1), args, reply, opts...)
}

func (r renamed) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return r.cc.NewStream(ctx, desc, strings.Replace(method, r.from, r.to, 1), opts...)
}

// doctorOfAllVersions compares what the versions answer.
func doctorOfAllVersions(ctx context.Context, b *bench) error {
	visits, err := b.answered(ctx)
	if err != nil {
		return err
	}
	versions := b.doctorVersions()
	if len(versions) < 2 {
		return skip("it announces one version of the doctor service that this host speaks")
	}
	p, err := b.granted(ctx)
	if err != nil {
		return err
	}
	for _, version := range versions[:len(versions)-1] {
		for _, v := range visits {
			bound, cancel := b.within(ctx, deadlineDiagnose)
			r, err := medicIn(p, version).Diagnose(bound, v.asked)
			cancel()
			if lost := b.lost(p, "Diagnose in an older version", err); lost != nil {
				return lost
			}
			if got, want := inWords(r), inWords(v.answer); err != nil || got != want {
				return breach("serve each version that you announce, or announce less", "about %s it says %q in version %d of the service (%v), and %q in the newest",
					v.incident.Name, got, version, fault.FromStatus(err), want)
			}
		}
	}
	b.noteDown("versions %v", versions)
	return nil
}

// doctorVerify asks whether plans have helped that were not done, and that were.
func doctorVerify(ctx context.Context, b *bench) error {
	versions := b.doctorVersions()
	if len(versions) == 0 || versions[len(versions)-1] < pluginkit.ExperimentalDoctorVersion {
		return skip("it does not speak version %d of the doctor service", pluginkit.ExperimentalDoctorVersion)
	}
	plans, err := b.proposals(ctx)
	if err != nil {
		return err
	}
	for _, pl := range plans {
		p, err := b.granted(ctx)
		if err != nil {
			return err
		}
		if err := pl.v.site.reset(); err != nil {
			return err
		}
		r, err := b.verify(ctx, p, pl)
		if err != nil {
			return err
		}
		if r.GetOutcome() == pb2.Outcome_OUTCOME_HELPED {
			return breach("look whether the finding is gone", "Verify says that the plan for %s (%s) has helped, and nothing was done", pl.finding.GetCode(), pl.v.incident.Name)
		}
		changed, err := pl.v.site.changed()
		if err != nil {
			return err
		}
		if len(changed) > 0 {
			return breach("Verify looks and changes nothing", "after Verify about %s: %s", pl.v.incident.Name, strings.Join(changed, ", "))
		}
	}
	return b.verifyDone(ctx)
}

// verifyDone asks about delegated steps that were done.
func (b *bench) verifyDone(ctx context.Context) error {
	jobs, err := b.jobs(ctx)
	if err != nil {
		return nil //nolint:nilerr // there is none, or it is told elsewhere
	}
	for _, j := range jobs {
		p, err := b.granted(ctx)
		if err != nil {
			return err
		}
		if len(j.plan.GetSteps()) > 1 || j.prepare() != nil {
			continue
		}
		if _, err := b.do(ctx, p, j, false, nil); err != nil {
			return nil //nolint:nilerr // of that another check speaks
		}
		r, err := b.verify(ctx, p, j.proposal)
		if err != nil {
			return err
		}
		if r.GetOutcome() == pb2.Outcome_OUTCOME_NOT_HELPED && len(j.v.incident.Commands) == 0 {
			return breach("look whether the finding is gone", "Verify says that %s has not helped, right after it was done: %q", j.name(), r.GetText())
		}
	}
	return nil
}

// verify asks until there is an answer that wants nothing more.
func (b *bench) verify(ctx context.Context, p Process, pl proposal) (*pb2.VerifyResponse, error) {
	req := &pb2.VerifyRequest{Gateway: pl.v.site.facts, Finding: pl.finding}
	for round := 0; ; round++ {
		bound, cancel := b.within(ctx, deadlineDiagnose)
		r, err := pb2.NewDoctorServiceClient(p.Conn()).Verify(bound, req)
		cancel()
		if lost := b.lost(p, "Doctor.Verify", err); lost != nil {
			return nil, lost
		}
		switch {
		case err != nil:
			return nil, breach("it is a finding of your own: answer unknown when you cannot tell", "Verify about %s fails: %v", pl.finding.GetCode(), fault.FromStatus(err))
		case len(r.GetWants()) == 0:
			return r, nil
		case round == mostRounds:
			return nil, breach("ask for everything at once, at most three times", "Verify about %s wants evidence a fourth time", pl.finding.GetCode())
		}
		for _, w := range r.GetWants() {
			req.Evidence = append(req.Evidence, pl.v.incident.evidence(pl.v.site, w, false))
		}
	}
}
