//! Run-time choice of vector instructions for loops that the compiler vectorises.

/// Defines a function whose body is compiled twice on x86-64, for the baseline and for AVX2, and chosen at run time.
/// Both compilations do the same operations in the same order (no fused multiply-add, no reordering), so the result
/// does not depend on the machine.
macro_rules! dispatched {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn portable($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments)]
                fn wide($($argument: $type),*) $(-> $result)? {
                    portable($($argument),*)
                }

                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor was just seen to have the feature that `wide` asks for.
                    return unsafe { wide($($argument),*) };
                }
            }
            portable($($argument),*)
        }
    };
}

pub(crate) use dispatched;
