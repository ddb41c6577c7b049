/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay - main() of a fuzz target where libFuzzer is not: runs LLVMFuzzerTestOneInput() over every
 * file of the directories (or the files) given. No input at all is a failure, so that a lost corpus
 * is noticed.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rbe");
    struct stat st;
    uint8_t *data;
    size_t n;

    if (!f || fstat(fileno(f), &st)) {
        perror(path);
        exit(1);
    }
    /* Exactly as large as the input, so that the sanitizer sees a read beyond it. */
    data = malloc(st.st_size ? (size_t)st.st_size : 1);
    if (!data)
        abort();
    n = fread(data, 1, (size_t)st.st_size, f);
    (void)fclose(f);
    (void)LLVMFuzzerTestOneInput(data, n);
    free(data);
    return 1;
}

static int run_path(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    int n = 0;

    if (!d)
        return run_file(path);
    while ((e = readdir(d))) {
        char file[4096];

        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
        n += run_file(file);
    }
    (void)closedir(d);
    return n;
}

int main(int argc, char **argv)
{
    int n = 0;

    for (int i = 1; i < argc; i++)
        n += run_path(argv[i]);
    (void)printf("%d inputs\n", n);
    return n == 0;
}
