/* Kernel files opened and initrds read: what is there, and what should not be. */
#include "load_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load/initrd.h"

struct folder {
    char path[64];
    char file[96]; /* of the file in it */
};

static int folder_make(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));

    strcpy(folder->path, "/tmp/hostvm-load-XXXXXX");
    if (mkdtemp(folder->path) == NULL) {
        return -1;
    }
    (void)snprintf(folder->file, sizeof(folder->file), "%s/f", folder->path);
    *state = folder;
    return 0;
}

static int folder_remove(void **state)
{
    struct folder *folder = *state;

    (void)unlink(folder->file);
    (void)rmdir(folder->path);
    free(folder);
    return 0;
}

static void file_write(const struct folder *folder, size_t size)
{
    struct blob blob = blob_make(size);
    int fd = open(folder->file, O_CREAT | O_WRONLY | O_TRUNC, 0600);

    fill_mixed(blob.data, size, 17);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, blob.data, size), (ssize_t)size);
    close(fd);
    blob_free(&blob);
}

static void assert_line(const struct load_error *err, const char *what, const char *name,
                        const char *reason)
{
    char line[256];

    (void)snprintf(line, sizeof(line), "cannot load %s '%s': %s", what, name, reason);
    assert_string_equal(err->text, line);
}

static void test_file_is_mapped_and_closed_twice(void **state)
{
    struct folder *folder = *state;
    struct image_file file;

    file_write(folder, 5000);
    assert_int_equal(image_file_open(folder->file, &file, NULL), 0);
    assert_int_equal(file.size, 5000);
    assert_ptr_equal(file.name, folder->file);
    image_file_close(&file);
    image_file_close(&file);
    assert_null(file.data);
}

static void test_file_that_cannot_be_opened_is_refused_with_a_reason(void **state)
{
    struct folder *folder = *state;
    struct image_file file;
    struct load_error err;
    uint64_t gpa, size;
    struct load_ram ram = ram_make(0, 4096, true);

    assert_int_equal(image_file_open(folder->file, &file, &err), -ENOENT);
    assert_line(&err, "kernel", folder->file, "No such file or directory");
    assert_int_equal(initrd_load(folder->file, &ram, 0, 4096, &gpa, &size, &err), -ENOENT);
    assert_line(&err, "initrd", folder->file, "No such file or directory");
    assert_int_equal(image_file_open(folder->path, &file, &err), -EISDIR);
    assert_line(&err, "kernel", folder->path, "it is a directory; give an ordinary file");
    assert_int_equal(image_file_open("/dev/null", &file, &err), -EINVAL);
    assert_line(&err, "kernel", "/dev/null", "it is a device; give an ordinary file");
    file_write(folder, 0);
    assert_int_equal(image_file_open(folder->file, &file, &err), -ENODATA);
    assert_line(&err, "kernel", folder->file, "the file is empty");
    assert_int_equal(initrd_load(folder->file, &ram, 0, 4096, &gpa, &size, &err), -ENODATA);
    assert_line(&err, "initrd", folder->file, "the file is empty");
    ram_free(&ram);
}

static void test_pipe_without_a_writer_is_refused_at_once(void **state)
{
    struct folder *folder = *state;
    struct image_file file;
    struct load_error err;

    assert_int_equal(mkfifo(folder->file, 0600), 0);
    assert_int_equal(image_file_open(folder->file, &file, &err), -EINVAL);
    assert_line(&err, "kernel", folder->file, "it is a pipe; give an ordinary file");
}

static void test_unreadable_file_is_refused(void **state)
{
    struct folder *folder = *state;
    struct image_file file;
    struct load_error err;

    uid_t user = geteuid();
    int r;

    file_write(folder, 10);
    assert_int_equal(chmod(folder->file, 0), 0);
    if (user == 0) {
        assert_int_equal(seteuid(65534), 0); /* root may read everything */
    }
    r = image_file_open(folder->file, &file, &err);
    assert_int_equal(seteuid(user), 0);
    assert_int_equal(r, -EACCES);
    assert_line(&err, "kernel", folder->file, "Permission denied");
}

static void test_long_name_leaves_room_for_the_reason(void **state)
{
    char name[400];
    struct image_file file;
    struct load_error err;

    (void)state;
    memset(name, 'x', sizeof(name));
    name[0] = '/';
    name[sizeof(name) - 1] = '\0';
    name[sizeof(name) - 2] = 'y';
    assert_int_equal(image_file_open(name, &file, &err), -ENAMETOOLONG);
    assert_non_null(strstr(err.text, "xxxy': File name too long"));
}

static void test_initrd_is_read_page_aligned_below_the_top(void **state)
{
    struct folder *folder = *state;
    struct load_ram ram = ram_make(0x100000, 0x10000, true);
    struct image_file file;
    uint64_t gpa, size;

    file_write(folder, 5000);
    assert_int_equal(initrd_load(folder->file, &ram, 0, 0x108800, &gpa, &size, NULL), 0);
    assert_int_equal(gpa, 0x107000);
    assert_int_equal(size, 5000);
    assert_int_equal(image_file_open(folder->file, &file, NULL), 0);
    assert_memory_equal(ram.host + 0x7000, file.data, 5000);
    assert_int_equal(ram.host[0x6fff], 0);
    image_file_close(&file);
    assert_int_equal(initrd_load(folder->file, &ram, 0, UINT64_MAX, &gpa, &size, NULL), 0);
    assert_int_equal(gpa, 0x10e000);
    assert_int_equal(initrd_load(folder->file, &ram, 0x10e000, UINT64_MAX, &gpa, &size, NULL), 0);
    ram_free(&ram);
}

static void test_initrd_that_does_not_fit_is_refused(void **state)
{
    static const uint64_t borders[][2] = {
        {0x10e001, UINT64_MAX}, {0, 0x101000}, {0, 0}, {UINT64_MAX, 0}, {0x108000, 0x109000},
    };
    struct folder *folder = *state;
    struct load_ram ram = ram_make(0x100000, 0x10000, true);
    struct load_error err;
    uint64_t gpa, size;

    file_write(folder, 5000);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(
            initrd_load(folder->file, &ram, borders[i][0], borders[i][1], &gpa, &size, &err),
            -EFBIG);
    }
    assert_line(&err, "initrd", folder->file,
                "its 5 KiB do not fit into [0x108000..0x109000) between the kernel and the end of "
                "RAM; give more RAM");
    ram_free(&ram);
}

static void test_file_that_shrinks_while_it_is_read_is_refused(void **state)
{
    const struct folder *folder = *state;
    struct load_error err = {""};
    uint8_t bytes[1000];
    uint64_t size;
    int fd;

    file_write(folder, sizeof(bytes));
    fd = regular_file_open("initrd", folder->file, &size, &err);
    assert_true(fd >= 0);
    assert_int_equal(size, sizeof(bytes));
    assert_int_equal(truncate(folder->file, 300), 0);
    assert_int_equal(regular_file_read("initrd", fd, folder->file, bytes, size, &err), -EIO);
    assert_line(&err, "initrd", folder->file,
                "it shrank to 300 bytes while it was read; try again");
    close(fd);
}

static void test_read_that_fails_is_reported(void **state)
{
    const struct folder *folder = *state;
    struct load_error err = {""};
    uint8_t byte;
    int fd = open(folder->path, O_RDONLY | O_DIRECTORY);

    assert_true(fd >= 0);
    assert_int_equal(regular_file_read("device tree", fd, "tree", &byte, 1, &err), -EISDIR);
    assert_line(&err, "device tree", "tree", "Is a directory");
    close(fd);
}

#define FOLDER_TEST(f) cmocka_unit_test_setup_teardown(f, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(test_file_is_mapped_and_closed_twice),
        FOLDER_TEST(test_file_that_cannot_be_opened_is_refused_with_a_reason),
        FOLDER_TEST(test_pipe_without_a_writer_is_refused_at_once),
        FOLDER_TEST(test_unreadable_file_is_refused),
        FOLDER_TEST(test_file_that_shrinks_while_it_is_read_is_refused),
        FOLDER_TEST(test_read_that_fails_is_reported),
        cmocka_unit_test(test_long_name_leaves_room_for_the_reason),
        FOLDER_TEST(test_initrd_is_read_page_aligned_below_the_top),
        FOLDER_TEST(test_initrd_that_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
