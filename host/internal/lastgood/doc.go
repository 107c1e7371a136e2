// Package lastgood keeps the configurations with which a gateway came to run, as the way back when the present one is broken.
package lastgood
