/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Gives seed files, or all files of directories, to a fuzz target: so that
 * every check runs the seeds, without libFuzzer.
 *
 *   replay FILE-OR-DIRECTORY...
 */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "bosh/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

static bool replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    bosh_buf_t data;
    char block[4096];
    size_t n;

    if (!file) {
        perror(path);
        return false;
    }
    bosh_buf_init(&data, 0);
    while ((n = fread(block, 1, sizeof(block), file)) > 0) {
        (void)bosh_buf_add(&data, block, n);
    }
    (void)fclose(file);
    (void)LLVMFuzzerTestOneInput((const uint8_t *)bosh_buf_str(&data).p, data.len);
    bosh_buf_free(&data);
    replayed++;
    return true;
}

static bool replay_directory(DIR *dir, const char *path)
{
    struct dirent *entry;
    char name[PATH_MAX];
    bool is_good = true;

    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.'
            && snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) < (int)sizeof(name)) {
            is_good = replay_file(name) && is_good;
        }
    }
    return is_good;
}

int main(int argc, char **argv)
{
    bool is_good = argc > 1;

    bosh_xml_init();
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);

        if (dir) {
            is_good = replay_directory(dir, argv[i]) && is_good;
            (void)closedir(dir);
        }
        else {
            is_good = replay_file(argv[i]) && is_good;
        }
    }
    printf("%u inputs replayed\n", replayed);
    return is_good && replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
