import type { KnownReason } from "./kinds.ts";

/** A text by which an error is known where neither a code nor a type tells it. */
export interface MessagePattern {
  readonly pattern: RegExp;
  readonly reason: KnownReason;
  /** Who says it. */
  readonly source: string;
}

/**
 * All that is ever guessed from words, the most telling first. Every pattern is one that only the named source writes, or
 * that all who quote it mean alike.
 */
export const messagePatterns: readonly MessagePattern[] = [
  row(
    /\b(CUDA|HIP|XPU|NPU|MPS backend) out of memory\b/,
    "ACCELERATOR_OUT_OF_MEMORY",
    "PyTorch, its caching allocators",
  ),
  row(/\b(CUDA|HIP|XPU) error: out of memory\b/, "ACCELERATOR_OUT_OF_MEMORY", "PyTorch, c10::cuda::c10_cuda_check"),
  row(/\bAllocation on device\b/, "ACCELERATOR_OUT_OF_MEMORY", "PyTorch, cudaMallocAsync allocator"),
  row(/\bwould exceed allowed memory\b/, "ACCELERATOR_OUT_OF_MEMORY", "PyTorch, set_per_process_memory_fraction"),
  row(
    /\b(CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation)\b/,
    "ACCELERATOR_OUT_OF_MEMORY",
    "CUDA driver and runtime",
  ),
  row(/\bhipErrorOutOfMemory\b/, "ACCELERATOR_OUT_OF_MEMORY", "ROCm, HIP runtime"),
  row(
    /\b(CUBLAS|CUDNN|CUSPARSE|CUSOLVER|HIPBLAS|MIOPEN)_STATUS_ALLOC_FAILED\b/i,
    "ACCELERATOR_OUT_OF_MEMORY",
    "their status enums",
  ),
  row(/\brocblas_status_memory_error\b/i, "ACCELERATOR_OUT_OF_MEMORY", "ROCm, rocBLAS"),
  row(/OutOfDeviceMemory\b|OUT_OF_DEVICE_MEMORY\b/, "ACCELERATOR_OUT_OF_MEMORY", "Vulkan, VkResult"),
  row(/\bCL_MEM_OBJECT_ALLOCATION_FAILURE\b/, "ACCELERATOR_OUT_OF_MEMORY", "OpenCL"),
  row(/\bOOM when allocating tensor\b/, "ACCELERATOR_OUT_OF_MEMORY", "TensorFlow, its allocators"),
  row(/\bRESOURCE_EXHAUSTED: Out of memory\b/, "ACCELERATOR_OUT_OF_MEMORY", "XLA and JAX"),
  row(/\bran out of memory on your GPU\b/, "ACCELERATOR_OUT_OF_MEMORY", "ComfyUI, execution.py"),
  row(/\bcuda runtime error \(2\) : out of memory\b/, "ACCELERATOR_OUT_OF_MEMORY", "older PyTorch, THCudaCheck"),
  row(/\bCUDA failure 2: out of memory\b/, "ACCELERATOR_OUT_OF_MEMORY", "ONNX Runtime, its CUDA provider"),
  row(/\bcudaMalloc failed: out of memory\b/, "ACCELERATOR_OUT_OF_MEMORY", "ggml: llama.cpp, Ollama"),
  row(
    /\bCuda Runtime \(out of memory\)|\bOutOfMemory \(Requested size was \d/,
    "ACCELERATOR_OUT_OF_MEMORY",
    "TensorRT, its error codes 1 and 2",
  ),
  row(/\bcuMemAlloc failed: out of memory\b/, "ACCELERATOR_OUT_OF_MEMORY", "PyCUDA, driver.mem_alloc"),
  row(/\bThere is not enough GPU video memory available\b/, "ACCELERATOR_OUT_OF_MEMORY", "torch-directml"),
  row(
    /\bkIOGPUCommandBufferCallbackErrorOutOfMemory\b/,
    "ACCELERATOR_OUT_OF_MEMORY",
    "Metal, as MLX and ggml quote it",
  ),
  row(
    /\bOut of memory error on GPU (Virtual Memory )?\d/,
    "ACCELERATOR_OUT_OF_MEMORY",
    "PaddlePaddle, its CUDA allocators",
  ),
  row(/\bFailed to allocate memory for requested buffer\b/, "OUT_OF_MEMORY", "ONNX Runtime, BFCArena"),
  row(/\bDefaultCPUAllocator: (can't allocate|not enough) memory\b/, "OUT_OF_MEMORY", "PyTorch, c10/core/CPUAllocator"),
  row(/\b(JavaScript|JS) heap out of memory\b/, "OUT_OF_MEMORY", "V8"),
  row(/\b(Allocation failed - process|Fatal process) out of memory\b/, "OUT_OF_MEMORY", "V8"),
  row(
    /\bThe paging file is too small for this operation to complete\b/,
    "OUT_OF_MEMORY",
    "Windows, ERROR_COMMITMENT_LIMIT (1455)",
  ),
  row(/\bArray buffer allocation failed\b/, "OUT_OF_MEMORY", "V8"),
  row(/\bWebAssembly\.Memory\(\): could not allocate memory\b/, "OUT_OF_MEMORY", "V8"),
  row(/\bstd::bad_alloc\b/, "OUT_OF_MEMORY", "the C++ standard library"),
  row(/\bMemoryError\b/, "OUT_OF_MEMORY", "Python"),
  row(/\bUnable to allocate \S+ \w+ for an array\b/, "OUT_OF_MEMORY", "NumPy"),
  row(/\bjava\.lang\.OutOfMemoryError\b/, "OUT_OF_MEMORY", "the JVM"),
  row(/\bmemory allocation of \d+ bytes failed\b/, "OUT_OF_MEMORY", "Rust, alloc::handle_alloc_error"),
  row(/\bruntime: out of memory\b/, "OUT_OF_MEMORY", "Go"),
  row(/\bCannot allocate memory\b/, "OUT_OF_MEMORY", "strerror(ENOMEM)"),
  row(/\b(Out of memory: Killed process|OOMKilled)\b/, "OUT_OF_MEMORY", "Linux; Kubernetes"),

  row(/\bdevice-side assert triggered\b/, "DEVICE_FAILED", "CUDA, cudaErrorAssert"),
  row(
    /\billegal memory access was encountered\b|\bhipErrorIllegalAddress\b/,
    "DEVICE_FAILED",
    "CUDA, cudaErrorIllegalAddress; HIP",
  ),
  row(/\bunspecified launch failure\b/, "DEVICE_FAILED", "CUDA, cudaErrorLaunchFailure"),
  row(/\buncorrectable ECC error encountered\b/, "DEVICE_FAILED", "CUDA, cudaErrorECCUncorrectable"),
  row(/\bGPU (is lost|has fallen off the bus)\b/, "DEVICE_FAILED", "NVIDIA, NVML and its kernel module"),

  row(/\bNo space left on device\b/, "DISK_FULL", "strerror(ENOSPC)"),
  row(/\bDisk quota exceeded\b/, "DISK_FULL", "strerror(EDQUOT)"),
  row(/\bdatabase or disk is full\b/, "DISK_FULL", "SQLite"),
  row(/\bThere is not enough space on the disk\b/, "DISK_FULL", "Windows, ERROR_DISK_FULL"),
  row(/\bToo many open files\b/, "TOO_MANY_FILES", "strerror(EMFILE)"),

  row(/\bModel in folder '.{0,256}' with filename '.{0,512}' not found\b/, "MODEL_MISSING", "ComfyUI, folder_paths.py"),
  row(/\bCould not detect model type of\b/, "MODEL_DAMAGED", "ComfyUI, sd.py"),
  row(/\bError while deserializing header\b/, "MODEL_DAMAGED", "safetensors"),
  row(/\bCannot execute because node .{0,256} does not exist\b/, "NODE_MISSING", "ComfyUI, execution.py"),

  row(/\bNGHTTP2_REFUSED_STREAM\b/, "REFUSED_STREAM", "Node, HTTP/2 (RFC 9113, section 7)"),
  row(/\bNGHTTP2_ENHANCE_YOUR_CALM\b/, "OVERLOADED", "Node, HTTP/2"),
  row(/\bNGHTTP2_CANCEL\b/, "ABORTED", "Node, HTTP/2"),
  row(/\bNGHTTP2_(INADEQUATE_SECURITY|HTTP_1_1_REQUIRED)\b/, "TLS_FAILED", "Node, HTTP/2"),
  row(/\bNGHTTP2_\w+(ERROR|FRAME_SIZE|STREAM_CLOSED|TIMEOUT)\b/, "PROTOCOL_ERROR", "Node, HTTP/2"),
  row(/\bdoes not match the HTTP\/1\.1 protocol\b/, "PROTOCOL_ERROR", "undici, HTTPParserError"),

  row(/\bConnection refused\b/, "CONNECTION_REFUSED", "strerror(ECONNREFUSED)"),
  row(/\bConnection reset by peer\b|\bBroken pipe\b/, "CONNECTION_LOST", "strerror(ECONNRESET), strerror(EPIPE)"),
  row(/\bName or service not known\b/, "HOST_NOT_FOUND", "gai_strerror(EAI_NONAME)"),
  row(/\bTemporary failure in name resolution\b/, "NAME_LOOKUP_FAILED", "gai_strerror(EAI_AGAIN)"),
  row(
    /\b(Network is unreachable|No route to host)\b/,
    "HOST_UNREACHABLE",
    "strerror(ENETUNREACH), strerror(EHOSTUNREACH)",
  ),
  row(/\b(Connection timed out|Operation timed out)\b/, "TIMEOUT", "strerror(ETIMEDOUT)"),
  row(/\bcertificate verify failed\b/i, "CERTIFICATE_REJECTED", "OpenSSL, as Python and Ruby quote it"),

  row(
    /\bcannot decode \S{1,512} from (JSON|binary)\b|\bcannot decode (message|field|enum) \S{1,512} from (JSON|binary)\b/,
    "UNDECODABLE",
    "protobuf-es",
  ),
  row(
    /^(premature EOF|invalid varint|invalid end group tag|illegal tag: .*|cant skip wire type \d+)$/,
    "UNDECODABLE",
    "protobuf-es, BinaryReader",
  ),
  row(/\bis not valid JSON$|\bin JSON at position \d+|^Unexpected end of JSON input$/, "NOT_JSON", "V8, JSON.parse"),
];

/** What grpc-js says itself of a channel: in a status that came from elsewhere the same words are somebody else's. */
export const channelPatterns: readonly MessagePattern[] = [
  row(/\bName resolution failed for target\b/, "NAME_LOOKUP_FAILED", "grpc-js, its resolvers"),
  row(/\bNo connection established\b|\bLast error: /, "HOST_UNREACHABLE", "grpc-js, its load balancers"),
  row(/\b(connect|read|write|getaddrinfo) E[A-Z]{3,}/, "HOST_UNREACHABLE", "Node, as grpc-js quotes it"),
  row(/^Connection dropped$/, "CONNECTION_LOST", "grpc-js, its calls"),
];

/** What a channel says of a call that had begun to be answered: as a whole, since a server may quote the like. */
export const lostCallPatterns: readonly MessagePattern[] = [
  row(/^(read|write) E[A-Z]{3,}$/, "CONNECTION_LOST", "Node, as grpc-js quotes it"),
  row(/^Connection dropped$/, "CONNECTION_LOST", "grpc-js, its calls"),
];

/** What an engine says of a prompt where its type leaves it open. */
export const promptPatterns: readonly MessagePattern[] = [
  row(/\bdoes not exist\b/, "NODE_MISSING", "ComfyUI, execution.py, of the type invalid_prompt"),
];

/** As much of a text as is searched: errors that quote whole outputs say first what is wrong, or last. */
const searchedCharacters = 4096;

/** What a text is known to mean. */
export function reasonOfMessage(message: string, patterns = messagePatterns): KnownReason | undefined {
  const text =
    message.length <= searchedCharacters
      ? message
      : `${message.slice(0, searchedCharacters / 2)}\n${message.slice(-searchedCharacters / 2)}`;
  return patterns.find(({ pattern }) => pattern.test(text))?.reason;
}

function row(pattern: RegExp, reason: KnownReason, source: string): MessagePattern {
  return { pattern, reason, source };
}
