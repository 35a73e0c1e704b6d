/* The version that people see. meson.build's project version must be the same: a test compares. */
#ifndef TN_CMD_VERSION_H
#define TN_CMD_VERSION_H

#define TN_VERSION      "0.1.0"
#define TN_VERSION_DATE "2026-11-23"

#endif
