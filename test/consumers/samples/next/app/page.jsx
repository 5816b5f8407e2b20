"use client";

import { useEffect, useState } from "react";
import { connect } from "peyk/client";

export default function Page() {
  const [messages, setMessages] = useState([]);
  useEffect(() => {
    const peyk = connect("/peyk", { account: "sara", token: "sara-signs-in" });
    peyk.onMessage((message) => setMessages((all) => [...all, message]));
    return () => void peyk.close();
  }, []);
  return <ul>{messages.map(({ id, content }) => <li key={id}>{content}</li>)}</ul>;
}
