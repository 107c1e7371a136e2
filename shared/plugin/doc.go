// Package plugin is the vocabulary that the host and every kind of plugin share: who a plugin is, what it is told, the
// facts about a gateway, its lines of output and its exits. The wire form of each type is in
// shared/proto/gatehost/plugin/v1alpha1, whose comments are the contract; this package has no other logic than words.
//
// It imports no other package of this module: each kind (launcher, unloader, doctor, classifier) builds on it and never
// on another kind.
package plugin
