/** What is frozen with all that is in it. */
const frozen = new WeakSet<object>();

/**
 * Freezes a state that is kept, with all that is in it: changed by an `evolve`, rather than made anew, it
 * would be changed for everyone.
 */
export function freeze(state: unknown): unknown {
  if (typeof state !== "object" || state === null || frozen.has(state)) return state;
  if (ArrayBuffer.isView(state)) return state;
  frozen.add(state);
  if (state instanceof Map || state instanceof Set) {
    state.forEach((value: unknown, key: unknown) => (freeze(key), freeze(value)));
    // `Object.freeze` does not keep a collection from changing: its members are no properties.
    if (Object.isExtensible(state)) {
      for (const name of ["set", "add", "delete", "clear"]) {
        if (name in state) Object.defineProperty(state, name, { value: refuseChange });
      }
    }
  }
  Object.freeze(state);
  for (const member of Object.values(state)) freeze(member);
  return state;
}

function refuseChange(): never {
  throw new TypeError("Cannot change a state that is in the cache: evolve has to make a new one");
}
