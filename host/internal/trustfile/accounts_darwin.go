package trustfile

// groups knows the groups whose members are administrators, who can become root: wheel and admin. All other groups are
// in the directory service, which the files do not show.
var groups = accounts{
	passwd: func() string { return "" },
	group:  func() string { return "wheel:*:0:\nadmin:*:80:\n" },
}
