/**
 * A certificate for the name `localhost`, signed by itself and valid from 2025 to 2125, that tests serve with. Its key is no secret.
 * Made by `openssl ca -selfsign -startdate 20250101000000Z -enddate 21250101000000Z` with these extensions:
 * `subjectAltName=DNS:localhost`, `basicConstraints=critical,CA:TRUE`.
 */
export const certificate = `-----BEGIN CERTIFICATE-----
MIIBYTCCAQegAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjUwMTAxMDAwMDAwWhgPMjEyNTAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKwsOn5G6T2YiJBM
LZXkVDWaDtrPFhV/leNQqAkyOf0UpYNWiGH+xFdcQ0GTvPcuVdmF4cBejV0vCaR0
rEyAHbqjSDBGMBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAPBgNVHRMBAf8EBTADAQH/
MB0GA1UdDgQWBBRtAEqhtGmhdZLQW11pynT65um4vTAKBggqhkjOPQQDAgNIADBF
AiEAw4m5zsXwjBw98e7Rmze5Calp9flcSRJVcDFc3UiMb8YCIErK8MJWmBicimxG
aiMXdI/LUWsx5zAdGYhk0A3pCMAX
-----END CERTIFICATE-----
`;

export const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgDsV6BhZQ2Wc2zTNk
3fqxNLgTnrX5HPCZBPOVRfOReEmhRANCAASsLDp+Ruk9mIiQTC2V5FQ1mg7azxYV
f5XjUKgJMjn9FKWDVohh/sRXXENBk7z3LlXZheHAXo1dLwmkdKxMgB26
-----END PRIVATE KEY-----
`;
