/** The objects that are frozen with everything in them. */
const frozen = new WeakSet<object>();

/**
 * Freezes a state that is kept, with everything in it. An `evolve` that changed the state, in place of making
 * a new one, would change the state for everyone.
 */
export function freeze(state: unknown): unknown {
  if (typeof state !== "object" || state === null || frozen.has(state)) return state;
  if (ArrayBuffer.isView(state)) return state;
  frozen.add(state);
  if (state instanceof Map || state instanceof Set) {
    state.forEach((value: unknown, key: unknown) => {
      freeze(key);
      freeze(value);
    });
    // `Object.freeze` does not freeze the members of a collection: they are not properties.
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
