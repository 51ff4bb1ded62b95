import { useEffect, useState } from "preact/hooks";

const PHONE = matchMedia("(max-width: 720px)");

/** Whether the page is as narrow as a phone. */
export function useNarrow(): boolean {
  const [isNarrow, setIsNarrow] = useState(PHONE.matches);
  useEffect(() => {
    const onChange = () => setIsNarrow(PHONE.matches);
    PHONE.addEventListener("change", onChange);
    return () => PHONE.removeEventListener("change", onChange);
  }, []);
  return isNarrow;
}
