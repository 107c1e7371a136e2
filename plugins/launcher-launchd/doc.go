// Package launcherlaunchd finds launchd services on macOS that would also manage a gateway, unloads them if it may, and
// loads them again (B114..B116). It works through launchctl only: it asks, it boots out and bootstraps, it never writes
// or deletes a plist. Its launcher kind comes later; today it serves the kind unloader.
//
// What launchctl prints is meant for people and changes between releases. So only few facts are read from it, and
// whether a service is gone is decided by one thing alone: launchctl no longer finds it. After a bootout it lives on
// for a while (`state = SIGTERMed`), and a bootstrap in that while fails with an input/output error.
package launcherlaunchd
