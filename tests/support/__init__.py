"""What the tests share: small real inputs, faults, processes to kill, a browser."""
