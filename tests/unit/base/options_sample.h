/* A table with every kind of option, for the tests of config, args and manual. */
#ifndef TN_TEST_OPTIONS_SAMPLE_H
#define TN_TEST_OPTIONS_SAMPLE_H

#include "base/args.h"

enum sample_mode { SAMPLE_NONE, SAMPLE_WATCH = 7, SAMPLE_BACK = -1 };

struct sample_tls {
    const char *cert;
    const char *key;
    bool verify;
};

struct sample_step {
    const char *model;
    uint8_t weight;
    struct tn_option_map outputs; /* of texts */
};

struct sample {
    const char *models;
    const char *password;
    uint16_t http_port;
    int8_t nice;
    double threshold;
    size_t body_max;
    uint64_t drain_ns;
    bool batching;
    bool check;
    enum sample_mode mode;
    struct sample_tls tls;
    struct tn_option_list ports;  /* of uint16_t */
    struct tn_option_list steps;  /* of struct sample_step */
    struct tn_option_map labels;  /* of texts */
    struct tn_option_map budgets; /* of durations */
    struct tn_option_list files;  /* of texts */
};

extern const struct tn_option_table sample_table;
extern const struct tn_args_command sample_command;

#endif
