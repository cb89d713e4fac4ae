/** The allocator of the wasm device, against a plain list of live blocks. */
import { expect, it } from "vitest";
import { createDevice } from "early-exits/node";
import { DeviceError } from "../../../src/errors.js";
import { WasmMemory } from "../../../src/tensor/wasm/memory.js";
import { between, fc, test } from "../../support/property.js";

const sizes = fc.oneof(fc.nat(2000), between(60_000, 70_000), between(10_000, 400_000));
const actions = fc.array(fc.oneof(fc.record({ allocate: sizes }), fc.record({ free: fc.nat(1000) })), {
  maxLength: 150,
});

function play(
  memory: WasmMemory,
  script: readonly ({ allocate: number } | { free: number })[],
  live: { address: number; bytes: number }[] = [],
) {
  for (const action of script) {
    if ("allocate" in action) live.push({ address: memory.allocate(action.allocate), bytes: action.allocate });
    else if (live.length > 0) {
      const block = live.splice(action.free % live.length, 1)[0]!;
      memory.free(block.address, block.bytes);
    }
  }
  return live;
}

test.prop([actions], { numRuns: 60 })("never hands out overlapping blocks, nor memory it does not have", (script) => {
  const memory = new WasmMemory({ shared: false });
  const live = play(memory, script).sort((a, b) => a.address - b.address);
  let end = 65_536;
  for (const { address, bytes } of live) {
    expect(address % 64).toBe(0);
    expect(address).toBeGreaterThanOrEqual(end);
    end = address + bytes;
  }
  expect(end).toBeLessThanOrEqual(memory.size);
  expect(memory.used).toBeGreaterThanOrEqual(live.reduce((sum, { bytes }) => sum + bytes, 0));
});

test.prop([actions, between(2 ** 21, 2 ** 23)], { numRuns: 60 })(
  "changes nothing when a request does not fit, and serves what fits afterwards",
  (script, limit) => {
    const memory = new WasmMemory({ shared: false, limit });
    const live = play(memory, []);
    for (const action of script) {
      const used = memory.used;
      try {
        play(memory, [action], live);
      } catch (error) {
        expect(error).toBeInstanceOf(DeviceError);
        expect(memory.used).toBe(used);
      }
      expect(memory.size).toBeLessThanOrEqual(limit);
    }
    expect(() => memory.allocate(2 ** 23)).toThrow(/memoryLimit/);
    for (const { address, bytes } of live) memory.free(address, bytes);
    expect(memory.used).toBe(0);
  },
);

// Blocks for small sizes stay where their chunk lies, so spans may fit otherwise in the next rounds.
test.prop([actions], {
  numRuns: 60,
  // grows in the third round
  examples: [[[{ allocate: 65_537 }, { allocate: 94_209 }, { allocate: 155_649 }, { free: 671 }, { allocate: 0 }]]],
})("uses nothing once everything is freed, and soon stops growing when the same work is done again", (script) => {
  const memory = new WasmMemory({ shared: false });
  const round = () => {
    for (const { address, bytes } of play(memory, script)) memory.free(address, bytes);
    expect(memory.used).toBe(0);
  };
  for (let i = 0; i < 8; i++) round();
  const { size } = memory;
  for (let i = 0; i < 5; i++) round();
  expect(memory.size).toBe(size);
});

it("wastes at most an eighth of the requested size, beyond 512 bytes", () => {
  // one memory for all sizes: each takes gigabytes of addresses, which a process has not for thousands of them
  const memory = new WasmMemory({ shared: false });
  for (let bytes = 513; bytes < 500_000; bytes += 97) {
    const address = memory.allocate(bytes);
    expect(memory.used).toBeLessThanOrEqual(bytes * 1.125 + 64);
    memory.free(address, bytes);
  }
});

it("keeps its contents when it grows", () => {
  const memory = new WasmMemory({ shared: false });
  const address = memory.allocate(16);
  memory.f32[address / 4] = 7;
  memory.allocate(8 * 2 ** 20);
  expect(memory.f32[address / 4]).toBe(7);
});

it("refuses an allocation beyond 4 GiB with an error, and remains usable", () => {
  const memory = new WasmMemory({ shared: false });
  expect(() => memory.allocate(5 * 2 ** 30)).toThrow(/4 GiB/);
  memory.allocate(1000);
});

it("caches of all lengths share memory", async () => {
  const device = await createDevice("wasm");
  for (let length = 16; length < 600; length += 16) {
    fc.sample(fc.constant(length), 30)
      .map((each) => device.createCache(3, 8, each))
      .forEach((cache) => device.freeCache(cache));
  }
  expect(device.memory!().size).toBeLessThan(8e6);
});
