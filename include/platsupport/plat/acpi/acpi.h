/* ACPI tables as they lie in memory. Section numbers are those of ACPI 6.5. */
#pragma once

#include <stdint.h>

/* 5.2.5.3, "RSD PTR " */
typedef struct acpi_rsdp {
    char signature[8];
    uint8_t checksum; /* of the first 20 bytes */
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt_address;
    uint32_t length;
    uint64_t xsdt_address;
    uint8_t extended_checksum; /* of all bytes */
    char reserved[3];
} __attribute__((packed)) acpi_rsdp_t;

/* 5.2.6, what every other table begins with */
typedef struct acpi_header {
    char signature[4];
    uint32_t length; /* of the whole table */
    uint8_t revision;
    uint8_t checksum; /* makes the bytes of the whole table add up to 0 */
    char oem_id[6];
    char oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed)) acpi_header_t;

/* 5.2.3.2, where a register is */
typedef struct acpi_gas {
    uint8_t space_id;
    uint8_t reg_bit_width;
    uint8_t reg_bit_offset;
    uint8_t access_size;
    uint64_t address;
} __attribute__((packed)) acpi_GAS_t;

/* 5.2.7, "RSDT"; uint32_t addresses of tables follow */
typedef struct acpi_rsdt {
    acpi_header_t header;
} __attribute__((packed)) acpi_rsdt_t;

/* 5.2.8, "XSDT"; uint64_t addresses of tables follow */
typedef struct acpi_xsdt {
    acpi_header_t header;
} __attribute__((packed)) acpi_xsdt_t;

/* 5.2.11.1, "DSDT"; AML follows */
typedef struct acpi_dsdt {
    acpi_header_t header;
} __attribute__((packed)) acpi_dsdt_t;

/* 5.2.9, "FACP", as far as ACPI 2.0 defined it */
typedef struct acpi_fadt {
    acpi_header_t header;
    uint32_t facs_address;
    uint32_t dsdt_address;
    uint8_t reserved1;
    uint8_t preferred_pm_profile;
    uint16_t sci_int;
    uint32_t smi_cmd;
    uint8_t acpi_enable;
    uint8_t acpi_disable;
    uint8_t s4bios_req;
    uint8_t pstate_cnt;
    uint32_t pm1a_evt_blk;
    uint32_t pm1b_evt_blk;
    uint32_t pm1a_cnt_blk;
    uint32_t pm1b_cnt_blk;
    uint32_t pm2_cnt_blk;
    uint32_t pm_tmr_blk;
    uint32_t gpe0_blk;
    uint32_t gpe1_blk;
    uint8_t pm1_evt_len;
    uint8_t pm1_cnt_len;
    uint8_t pm2_cnt_len;
    uint8_t pm_tmr_len;
    uint8_t gpe0_blk_len;
    uint8_t gpe1_blk_len;
    uint8_t gpe1_base;
    uint8_t cst_cnt;
    uint16_t p_lvl2_lat;
    uint16_t p_lvl3_lat;
    uint16_t flush_size;
    uint16_t flush_stride;
    uint8_t duty_offset;
    uint8_t duty_width;
    uint8_t day_alrm;
    uint8_t mon_alrm;
    uint8_t century;
    uint16_t iapc_boot_arch;
    uint8_t reserved2;
    uint32_t flags;
    acpi_GAS_t reset_reg;
    uint8_t reset_value;
    uint8_t reserved3[3];
    uint64_t x_facs_address;
    uint64_t x_dsdt_address;
    acpi_GAS_t x_pm1a_evt_blk;
    acpi_GAS_t x_pm1b_evt_blk;
    acpi_GAS_t x_pm1a_cnt_blk;
    acpi_GAS_t x_pm1b_cnt_blk;
    acpi_GAS_t x_pm2_cnt_blk;
    acpi_GAS_t x_pm_tmr_blk;
    acpi_GAS_t x_gpe0_blk;
    acpi_GAS_t x_gpe1_blk;
} __attribute__((packed)) acpi_fadt_t;

/* 5.2.12, "APIC"; interrupt controller structures follow */
typedef struct acpi_madt {
    acpi_header_t header;
    uint32_t local_int_crt_address;
    uint32_t flags;
} __attribute__((packed)) acpi_madt_t;

/* 5.2.12, table 5.21: types of interrupt controller structures */
enum {
    ACPI_APIC_LOCAL = 0,
    ACPI_APIC_IOAPIC = 1
};

/* What every interrupt controller structure begins with */
typedef struct acpi_madt_apic_header {
    uint8_t type;
    uint8_t length;
} __attribute__((packed)) acpi_madt_apic_header_t;

/* 5.2.12.2, type 0 */
typedef struct acpi_madt_local_apic {
    acpi_madt_apic_header_t header;
    uint8_t processor_id;
    uint8_t apic_id;
    uint32_t flags;
} __attribute__((packed)) acpi_madt_local_apic_t;

/* 5.2.12.3, type 1 */
typedef struct acpi_madt_ioapic {
    acpi_madt_apic_header_t header;
    uint8_t ioapic_id;
    uint8_t reserved;
    uint32_t address;
    uint32_t gs_interrupt_base;
} __attribute__((packed)) acpi_madt_ioapic_t;

/* IA-PC HPET Specification 1.0a, 3.2.4, "HPET" */
typedef struct acpi_hpet {
    acpi_header_t header;
    uint32_t event_timer_block_id;
    acpi_GAS_t base_address;
    uint8_t hpet_number;
    uint16_t min_ticks;
    uint8_t page_protection;
} __attribute__((packed)) acpi_hpet_t;
