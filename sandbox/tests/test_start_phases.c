/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of unicri_guest_start_seconds: one for each driver and phase, all of them printed. */
#include "base/tests/testing.h"
#include "sandbox/start_phases.h"

static const char *label_of(size_t driver, enum start_phase phase)
{
    return start_phase_metrics[driver][phase].label;
}

static void rows(void **state)
{
    const char *const *names = vmm_driver_names();
    size_t n = 0, listed = 0;

    (void)state;
    for (; names[n]; n++) {
        size_t at = START_DRIVERS;

        for (size_t i = 0; i < START_DRIVERS; i++) {
            autofree char *wanted =
                xasprintf("driver=\"%s\",phase=\"%s\"", names[n], start_phase_name(PHASE_STORAGE));

            if (str_eq(label_of(i, PHASE_STORAGE), wanted))
                at = i;
        }
        print_message("%s\n", names[n]);
        assert_in_range(at, 0, START_DRIVERS - 1);
        for (size_t i = 0; i < START_PHASES; i++) {
            autofree char *wanted =
                xasprintf("driver=\"%s\",phase=\"%s\"", names[n], start_phase_name(i));

            assert_string_equal(label_of(at, i), wanted);
        }
    }
    assert_int_equal(n, START_DRIVERS);
    for (struct metric *const *m = sandbox_metrics; *m; m++)
        listed += str_eq((*m)->name, start_phase_metrics[0][0].name);
    assert_int_equal(listed, START_DRIVERS * START_PHASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
