import { expect, test, vi } from "vitest";

vi.stubGlobal("document", { hidden: false, addEventListener: () => undefined });
vi.useFakeTimers();
const { PlantClock } = await import("../src/clock");

test("plant time goes on between messages, and late messages hardly move it", () => {
  const clock = new PlantClock();
  expect(clock.at(0)).toBe(0);
  clock.hear(1_000_000, 0);
  expect(clock.at(400)).toBe(1_000_400);
  clock.hear(1_000_900, 1000);
  expect(clock.at(1000)).toBeGreaterThan(1_000_980);
});

test("a faster plant clock is followed", () => {
  const clock = new PlantClock();
  for (let s = 0; s <= 10; s++) clock.hear(1_000_000 + s * 20_000, s * 1000);
  expect(clock.rate).toBe(20);
  expect(clock.at(10_500)).toBe(1_210_000);
});

test("a clock that was set jumps at once", () => {
  const clock = new PlantClock();
  clock.hear(1_000_000, 0);
  clock.hear(9_000_000, 1000);
  expect(clock.at(1000)).toBe(9_000_000);
});
