package com.onsite

import com.onsite.engine.uniffiCallbackInterfaceChangeListener
import com.onsite.engine.uniffiCallbackInterfaceProgressListener
import com.onsite.engine.uniffiRustFutureContinuationCallbackImpl
import com.sun.jna.Callback
import com.sun.jna.CallbackThreadInitializer
import com.sun.jna.Native

/**
 * The engine's own threads as the JVM sees them.
 *
 * Left alone, JNA makes a new `Thread` for every call that comes from the
 * engine. Here each of the engine's few threads is attached once, as a daemon,
 * and goes when the engine lets it go.
 */
internal object Threads {
    // JNA holds on to callbacks weakly; these are objects that never go.
    private val callbacks: List<Callback> = listOf(
        uniffiRustFutureContinuationCallbackImpl,
        uniffiCallbackInterfaceChangeListener.changed,
        uniffiCallbackInterfaceChangeListener.uniffiFree,
        uniffiCallbackInterfaceChangeListener.uniffiClone,
        uniffiCallbackInterfaceProgressListener.progressed,
        uniffiCallbackInterfaceProgressListener.uniffiFree,
        uniffiCallbackInterfaceProgressListener.uniffiClone,
    )

    init {
        val attached = CallbackThreadInitializer(true, false, "onsite")
        callbacks.forEach { Native.setCallbackThreadInitializer(it, attached) }
    }

    /** Does nothing but be the first call. */
    fun prepare() = Unit
}
