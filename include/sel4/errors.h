/* The result codes of operations on capabilities. */
#pragma once

/**
 * What came of an operation; everything but seL4_NoError is a failure that left things as they
 * were.
 */
typedef enum seL4_Error {
    seL4_NoError = 0,
    seL4_InvalidArgument,
    seL4_InvalidCapability,
    seL4_IllegalOperation,
    seL4_RangeError,
    seL4_AlignmentError,
    seL4_FailedLookup,
    seL4_TruncatedMessage,
    seL4_DeleteFirst,
    seL4_RevokeFirst,
    seL4_NotEnoughMemory,
    seL4_NumErrors
} seL4_Error;
