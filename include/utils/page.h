/* Page sizes, and addresses in terms of pages. */
#pragma once

#include <utils/arith.h>

#define PAGE_BITS_4K 12
#define PAGE_BITS_2M 21
#define PAGE_BITS_4M 22
#define PAGE_BITS_1G 30

#define PAGE_SIZE_4K BIT(PAGE_BITS_4K)

/* The bits of an address inside its page. */
#define PAGE_MASK_4K MASK_UNSAFE(PAGE_BITS_4K)

/* The beginning of the page that an address is in; size is a power of two. */
#define PAGE_ALIGN(address, size) ((address) & ~((size)-1))
#define PAGE_ALIGN_4K(address) PAGE_ALIGN(address, PAGE_SIZE_4K)

/* Pages that hold so many bytes. */
#define BYTES_TO_4K_PAGES(bytes)                                                                  \
    (((bytes) >> PAGE_BITS_4K) + (((bytes) & PAGE_MASK_4K) != 0 ? 1ul : 0ul))
