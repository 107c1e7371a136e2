// Package lastgood keeps the configurations with which a gateway came to run, as the way back when the present one is
// broken. It owns the files below the directory of kept configurations. It sees its gateway by two functions and must
// not import package gateway or doctors.
package lastgood
