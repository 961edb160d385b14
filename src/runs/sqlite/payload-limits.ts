/**
 * Larger payloads are files: in the table they would pass through the log and be written twice, in a transaction that
 * others wait for. Smaller ones would each cost a file and two syncs.
 */
export const mostBytesInTable = 256 * 1024;
