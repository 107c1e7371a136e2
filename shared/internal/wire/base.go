package wire

import (
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Bounds of what a plugin may say about itself.
const (
	maxServices    = 16
	maxFields      = 512
	maxDiagnostics = 512
	maxWord        = 256
	maxSentence    = 4096
)

var kinds = map[plugin.Kind]pb.Kind{
	plugin.KindLauncher: pb.Kind_KIND_LAUNCHER, plugin.KindUnloader: pb.Kind_KIND_UNLOADER,
	plugin.KindDoctor: pb.Kind_KIND_DOCTOR, plugin.KindClassifier: pb.Kind_KIND_CLASSIFIER,
}

// Info converts a plugin's answer about itself.
func Info(i plugin.Info) *pb.DescribeResponse {
	out := &pb.DescribeResponse{Name: i.Name, Version: i.Version, WantedGrants: i.WantedGrants, Homepage: i.Homepage}
	for _, s := range i.Services {
		out.Services = append(out.Services, &pb.ServiceInfo{
			Kind: kinds[s.Kind], MinVersion: s.MinVersion, MaxVersion: s.MaxVersion, Capabilities: s.Capabilities,
		})
	}
	for _, f := range i.ConfigFields {
		out.ConfigFields = append(out.ConfigFields, &pb.ConfigField{
			Path: f.Path, Type: f.Type, Required: f.Required, DefaultJson: f.DefaultJSON, Doc: f.Doc,
		})
	}
	return out
}

// InfoFrom converts a plugin's answer about itself. Kinds that this side does not know are kept apart: an older host
// meets newer plugins. Ranges of versions are kept unchanged; the negotiation judges them.
func InfoFrom(r *pb.DescribeResponse) (plugin.Info, error) {
	out := plugin.Info{
		Name: Text(r.GetName(), maxWord), Version: Text(r.GetVersion(), maxWord),
		Homepage:     Text(r.GetHomepage(), maxSentence),
		WantedGrants: Strings(r.GetWantedGrants(), 64, maxWord),
	}
	if out.Name == "" {
		return out, Violation("it has no name")
	}
	if len(r.GetServices()) > maxServices || len(r.GetConfigFields()) > maxFields {
		return out, Violation("it lists %d services and %d config fields", len(r.GetServices()),
			len(r.GetConfigFields()))
	}
	for _, s := range r.GetServices() {
		kind, known := kindFrom(s.GetKind())
		switch {
		case s.GetKind() == pb.Kind_KIND_UNSPECIFIED:
			return out, Violation("it lists a service without a kind")
		case !known:
			out.UnknownKinds = append(out.UnknownKinds, int32(s.GetKind()))
		default:
			out.Services = append(out.Services, plugin.ServiceInfo{
				Kind: kind, MinVersion: s.GetMinVersion(), MaxVersion: s.GetMaxVersion(),
				Capabilities: Strings(s.GetCapabilities(), 64, maxWord),
			})
		}
	}
	for _, f := range r.GetConfigFields() {
		out.ConfigFields = append(out.ConfigFields, plugin.ConfigField{
			Path: Text(f.GetPath(), maxWord), Type: Text(f.GetType(), maxWord), Required: f.GetRequired(),
			DefaultJSON: Text(f.GetDefaultJson(), maxSentence), Doc: Text(f.GetDoc(), maxSentence),
		})
	}
	return out, nil
}

func kindFrom(k pb.Kind) (plugin.Kind, bool) {
	for kind, wireKind := range kinds {
		if wireKind == k {
			return kind, true
		}
	}
	return "", false
}

// Configure converts a plugin's table and surroundings.
func Configure(r plugin.ConfigureRequest) *pb.ConfigureRequest {
	return &pb.ConfigureRequest{
		ConfigJson: r.Config, Name: r.Name, Grants: r.Grants,
		Directories: &pb.Directories{Data: r.Directories.Data, Run: r.Directories.Run, Runtime: r.Directories.Runtime},
	}
}

// ConfigureFrom converts a plugin's table and surroundings.
func ConfigureFrom(r *pb.ConfigureRequest) plugin.ConfigureRequest {
	d := r.GetDirectories()
	return plugin.ConfigureRequest{
		Config: r.GetConfigJson(), Name: r.GetName(), Grants: r.GetGrants(),
		Directories: plugin.Directories{Data: d.GetData(), Run: d.GetRun(), Runtime: d.GetRuntime()},
	}
}

// Diagnostics converts remarks about a table.
func Diagnostics(in []plugin.Diagnostic) []*pb.Diagnostic {
	var out []*pb.Diagnostic
	for _, d := range in {
		out = append(out, &pb.Diagnostic{
			Severity: Severity(d.Severity), Path: Text(d.Path, maxSentence), Message: Text(d.Message, maxSentence),
			Hint: Text(d.Hint, maxSentence),
		})
	}
	return out
}

// DiagnosticsFrom converts remarks about a table.
func DiagnosticsFrom(in []*pb.Diagnostic) []plugin.Diagnostic {
	var out []plugin.Diagnostic
	for _, d := range in[:min(len(in), maxDiagnostics)] {
		out = append(out, plugin.Diagnostic{
			Severity: SeverityFrom(d.GetSeverity()), Path: Text(d.GetPath(), maxSentence),
			Message: Text(d.GetMessage(), maxSentence), Hint: Text(d.GetHint(), maxSentence),
		})
	}
	return out
}

// Severity converts a severity; both enums begin with info at 1.
func Severity(s plugin.Severity) pb.Severity {
	if s < plugin.SeverityInfo || s > plugin.SeverityError {
		s = plugin.SeverityInfo
	}
	return pb.Severity(s) //nolint:gosec // a small enum
}

// SeverityFrom converts a severity of the contract; an unknown one is info.
func SeverityFrom(s pb.Severity) plugin.Severity {
	if s < pb.Severity_SEVERITY_INFO || s > pb.Severity_SEVERITY_ERROR {
		return plugin.SeverityInfo
	}
	return plugin.Severity(s)
}

// Symptom converts a symptom; a test holds that both enums have the same numbers. An unknown one is none.
func Symptom(s plugin.Symptom) pb.Symptom {
	out := pb.Symptom(s) //nolint:gosec // what does not fit is found below
	if _, known := pb.Symptom_name[int32(out)]; !known || plugin.Symptom(out) != s {
		return pb.Symptom_SYMPTOM_UNSPECIFIED
	}
	return out
}

// SymptomFrom converts a symptom of the contract; an unknown one is none.
func SymptomFrom(s pb.Symptom) plugin.Symptom {
	return plugin.Symptom(Symptom(plugin.Symptom(s)))
}
