/**
 * One growing WebAssembly memory and its allocator. Addresses are byte offsets, multiples of 64.
 *   up to 64 KiB   size classes (eight per doubling, at most 1/8 wasted) with lists of free blocks, from 1 MiB chunks
 *   above          spans of whole 4 KiB pages: best fit, and neighbours merge again when they are freed. Caches of all
 *                  sizes, too: those of texts have ever other lengths, and blocks of a class serve no other
 * Freed memory is reused at once. Blocks are not cleared. The memory cannot shrink, and ends at 4 GiB: addresses have
 * 32 bits.
 */
import { DeviceError } from "../../errors.js";

const WASM_PAGE = 65_536;
export const LIMIT = 2 ** 32;
const SMALL = 65_536;
const CHUNK = 2 ** 20;
const SPAN_UNIT = 4096;
/** Never handed out below: the module's constants live there, and 0 means "none". */
const FIRST_ADDRESS = WASM_PAGE;

export class WasmMemory {
  readonly memory: WebAssembly.Memory;
  /** Views of all memory; replaced when it grows, so never keep them across an allocation. */
  f32!: Float32Array;
  i32!: Int32Array;
  i8!: Int8Array;
  /** Nothing beyond was handed out yet. */
  #end = FIRST_ADDRESS;
  #size: number;
  readonly #limit: number;
  readonly #blocks: number[][] = [];
  readonly #spans: { address: number; bytes: number }[] = [];
  #chunk = 0;
  #chunkEnd = 0;
  #used = 0;

  /** `limit`: most bytes. */
  constructor({ shared, limit = LIMIT }: { readonly shared: boolean; readonly limit?: number }) {
    this.#size = 16 * WASM_PAGE;
    this.#limit = WASM_PAGE * Math.floor(limit / WASM_PAGE);
    this.memory = new WebAssembly.Memory({ initial: this.#size / WASM_PAGE, maximum: LIMIT / WASM_PAGE, shared });
    this.#view();
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes handed out, rounding included. */
  get used(): number {
    return this.#used;
  }

  /**
   * Takes at least `bytes`, a span if `pages`. Throws a DeviceError ("wasm-memory-full") beyond the limit; nothing has
   * changed then.
   */
  allocate(bytes: number, pages = bytes > SMALL): number {
    if (pages) {
      const rounded = roundSpan(bytes);
      const address = this.#takeSpan(rounded, bytes);
      this.#used += rounded;
      return address;
    }
    const size = roundSmall(bytes);
    const address = (this.#blocks[classOf(size)] ??= []).pop() ?? this.#takeSmall(size, bytes);
    this.#used += size;
    return address;
  }

  #takeSmall(size: number, asked: number): number {
    if (this.#chunkEnd - this.#chunk < size) {
      const chunk = this.#takeSpan(CHUNK, asked); // if it throws, the old chunk is still there
      this.#keepRest();
      this.#chunk = chunk;
      this.#chunkEnd = chunk + CHUNK;
    }
    const address = this.#chunk;
    this.#chunk += size;
    return address;
  }

  /** `bytes` and `pages` are what was requested. */
  free(address: number, bytes: number, pages = bytes > SMALL): void {
    if (pages) {
      this.#used -= roundSpan(bytes);
      this.#putSpan(address, roundSpan(bytes));
      return;
    }
    const size = roundSmall(bytes);
    this.#used -= size;
    (this.#blocks[classOf(size)] ??= []).push(address);
  }

  /** The rest of a chunk becomes free blocks, the largest first. */
  #keepRest(): void {
    while (this.#chunkEnd - this.#chunk >= 64) {
      const size = floorSmall(this.#chunkEnd - this.#chunk);
      (this.#blocks[classOf(size)] ??= []).push(this.#chunk);
      this.#chunk += size;
    }
  }

  #takeSpan(bytes: number, asked: number): number {
    let best = -1;
    for (let i = 0; i < this.#spans.length; i++) {
      const size = this.#spans[i]!.bytes;
      if (size >= bytes && (best < 0 || size < this.#spans[best]!.bytes)) best = i;
    }
    if (best >= 0) {
      const span = this.#spans[best]!;
      const { address } = span;
      if (span.bytes === bytes) this.#spans.splice(best, 1);
      else {
        span.address += bytes;
        span.bytes -= bytes;
      }
      return address;
    }
    // Nothing fits: grow, starting at the last free span if that touches the end.
    const last = this.#spans.at(-1);
    const address = last !== undefined && last.address + last.bytes === this.#end ? last.address : this.#end;
    this.#grow(address + bytes, asked);
    if (address !== this.#end) this.#spans.pop();
    this.#end = address + bytes;
    return address;
  }

  #putSpan(address: number, bytes: number): void {
    let low = 0;
    let high = this.#spans.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#spans[middle]!.address < address) low = middle + 1;
      else high = middle;
    }
    const before = this.#spans[low - 1];
    const after = this.#spans[low];
    const joinsBefore = before !== undefined && before.address + before.bytes === address;
    const joinsAfter = after !== undefined && address + bytes === after.address;
    if (joinsBefore) {
      before.bytes += bytes;
      if (joinsAfter) {
        before.bytes += after.bytes;
        this.#spans.splice(low, 1);
      }
    } else if (joinsAfter) {
      after.address = address;
      after.bytes += bytes;
    } else this.#spans.splice(low, 0, { address, bytes });
  }

  /** Grows by at least an eighth, so rarely. Untouched pages cost nothing. */
  #grow(end: number, asked: number): void {
    if (end <= this.#size) return;
    const wanted = Math.min(this.#limit, Math.max(end, this.#size * 1.125));
    const target = Math.ceil(wanted / WASM_PAGE) * WASM_PAGE;
    try {
      if (end > this.#limit) throw new RangeError(`past ${this.#limit} bytes`);
      this.memory.grow((target - this.#size) / WASM_PAGE);
    } catch (cause) {
      throw new DeviceError(
        "wasm-memory-full",
        `wasm: ${asked} more bytes were requested, ${this.#used} are in use; ${this.#reason()}; use a smaller model, ` +
          "weights as bfloat16 or int8, or shorter texts",
        { asked, used: this.#used, limit: this.#limit },
        { cause },
      );
    }
    this.#size = target;
    this.#view();
  }

  #reason(): string {
    return this.#limit < LIMIT
      ? `the device was given ${this.#limit} bytes (memoryLimit)`
      : "WebAssembly memory ends at 4 GiB, and the system may allow less";
  }

  #view(): void {
    this.f32 = new Float32Array(this.memory.buffer);
    this.i32 = new Int32Array(this.memory.buffer);
    this.i8 = new Int8Array(this.memory.buffer);
  }
}

function roundSpan(bytes: number): number {
  return Math.ceil(Math.max(bytes, 1) / SPAN_UNIT) * SPAN_UNIT;
}

/** Up to 512 bytes multiples of 64; beyond, eight steps per doubling. */
function roundSmall(bytes: number): number {
  const step = bytes <= 512 ? 64 : 1 << (28 - Math.clz32(bytes - 1));
  return Math.max(64, Math.ceil(bytes / step) * step);
}

function floorSmall(bytes: number): number {
  const step = bytes <= 512 ? 64 : 1 << (28 - Math.clz32(bytes));
  return Math.min(SMALL, Math.floor(bytes / step) * step);
}

/** Per rounded size: 8 classes up to 512, then 8 per doubling. */
function classOf(size: number): number {
  if (size <= 512) return size >> 6;
  const exponent = 31 - Math.clz32(size - 1); // size in (2^e, 2^(e+1)]
  return 8 * (exponent - 8) + ((size - (1 << exponent)) >> (exponent - 3));
}
