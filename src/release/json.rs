//! JSON that means one thing: no key twice, one canonical form.
