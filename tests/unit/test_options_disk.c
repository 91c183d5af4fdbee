/* What follows --disk: names with commas, words, and what is said about wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "options/disk.h"

static void test_names_and_words(void **state)
{
    static const struct {
        const char *text, *path;
        bool is_readonly;
        const char *serial;
    } cases[] = {
        {"disk.img", "disk.img", false, ""},
        {"/dev/vda,ro", "/dev/vda", true, ""},
        {"a,ro,ro", "a", true, ""},
        {"a,serial=12345678901234567890", "a", false, "12345678901234567890"},
        {"a,serial=x=y,ro", "a", true, "x=y"},
        {"a,,b.img", "a,b.img", false, ""},
        {"a,,,ro", "a,", true, ""},
        {",,a", ",a", false, ""},
        {"ro", "ro", false, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct options_disk option;
        char error[200] = "none";

        assert_int_equal(options_disk_parse(cases[i].text, &option, error, sizeof(error)), 0);
        assert_string_equal(option.path, cases[i].path);
        assert_int_equal(option.is_readonly, cases[i].is_readonly);
        assert_string_equal(option.serial, cases[i].serial);
        assert_string_equal(error, "none");
    }
}

static void test_wrong_ones_are_told(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "--disk wants FILE[,ro][,serial=S], not ''"},
        {",ro", "--disk wants FILE[,ro][,serial=S], not ',ro'"},
        {"a,rw", "--disk 'a,rw': there is no 'rw', only ro and serial=S; a comma in a file's name "
                 "is doubled"},
        {"a,", "--disk 'a,': there is no '', only ro and serial=S; a comma in a file's name is "
               "doubled"},
        {"a,rox,ro", "--disk 'a,rox,ro': there is no 'rox', only ro and serial=S; a comma in a "
                     "file's name is doubled"},
        {"a,serial", "--disk 'a,serial': there is no 'serial', only ro and serial=S; a comma in a "
                     "file's name is doubled"},
        {"a,serial=", "--disk 'a,serial=' has a serial number that is not 1 to 20 visible "
                      "characters of ASCII"},
        {"a,serial=123456789012345678901",
         "--disk 'a,serial=123456789012345678901' has a serial number that is not 1 to 20 visible "
         "characters of ASCII"},
        {"a,serial=a b", "--disk 'a,serial=a b' has a serial number that is not 1 to 20 visible "
                         "characters of ASCII"},
        {"a,serial=1,serial=2", "--disk 'a,serial=1,serial=2' has two serial numbers"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct options_disk option;
        char error[200] = "none";

        assert_int_equal(options_disk_parse(cases[i].text, &option, error, sizeof(error)), -1);
        assert_string_equal(error, cases[i].error);
    }
}

static void test_name_that_is_too_long(void **state)
{
    char *text = malloc(PATH_MAX + 1);
    struct options_disk option;
    char error[200];

    (void)state;
    memset(text, 'a', PATH_MAX);
    text[PATH_MAX] = '\0';
    assert_int_equal(options_disk_parse(text, &option, error, sizeof(error)), -1);
    assert_string_equal(error, "--disk has the name of a file that is too long");
    text[PATH_MAX - 1] = '\0';
    assert_int_equal(options_disk_parse(text, &option, error, sizeof(error)), 0);
    assert_int_equal(strlen(option.path), PATH_MAX - 1);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_words),
        cmocka_unit_test(test_wrong_ones_are_told),
        cmocka_unit_test(test_name_that_is_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
