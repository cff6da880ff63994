//! Every kernel on every instruction set of this machine, against references that anybody can
//! check by eye.

#[cfg(test)]
mod dot;
#[cfg(test)]
mod fields;
#[cfg(test)]
mod isa;
#[cfg(test)]
mod naive;
#[cfg(test)]
mod poly;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod xor;
