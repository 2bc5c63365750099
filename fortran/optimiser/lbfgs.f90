!> Limited-memory BFGS by reverse communication (Liu and Nocedal 1989; Byrd, Lu, Nocedal, Zhu 1995).
!>
!> The optimiser asks for loss and gradient at a point and is called again with them.  Its whole state
!> is in plain arrays of the caller, so that a checkpoint is a copy of them.
module tf_lbfgs
   use tf_kinds, only : wp
   use tf_line_search, only : start_search, continue_search, n_search_state, longest_step
   implicit none
   private
   public :: lbfgs_type, lbfgs_step, n_lbfgs_integers, n_lbfgs_reals
   public :: task_start, task_evaluate, task_converged, task_stuck

   !> The first call: x, f, g belong to the starting point
   integer, parameter :: task_start = 0
   !> Evaluate loss and gradient at x and call again
   integer, parameter :: task_evaluate = 1
   !> The largest gradient component is below the tolerance
   integer, parameter :: task_converged = 2
   !> No descent from here, even along the negative gradient: x is the best point
   integer, parameter :: task_stuck = 3

   integer, parameter :: max_trials = 20  ! per line search, as in L-BFGS-B

   ! Places in the integer and real state
   integer, parameter :: n_lbfgs_integers = 8, n_lbfgs_reals = n_search_state + 8
   integer, parameter :: i_task = 1, i_stored = 2, i_newest = 3, i_trials = 4, i_iteration = 5, &
      i_restarts = 6
   integer, parameter :: r_f = n_search_state + 1, r_step = n_search_state + 2, r_scale = n_search_state + 3, &
      r_norm = n_search_state + 4

   !> The whole state; the arrays belong to the caller.  n variables, m remembered steps
   type :: lbfgs_type
      !> (n) where loss and gradient are wanted
      real(wp), pointer, contiguous :: x(:) => null()
      !> (n, m) remembered changes of x and of the gradient; (m) 1/(s·y)
      real(wp), pointer, contiguous :: s(:, :) => null(), y(:, :) => null(), rho(:) => null()
      !> (n) point, gradient and direction of the current line search
      real(wp), pointer, contiguous :: x_start(:) => null(), g_start(:) => null(), direction(:) => null()
      !> (n_lbfgs_reals) and (n_lbfgs_integers), zero at the start
      real(wp), pointer, contiguous :: reals(:) => null()
      integer, pointer, contiguous :: integers(:) => null()
   end type lbfgs_type

contains

   !> One step of the optimiser
   subroutine lbfgs_step(state, tolerance, f, g)
      !> Loss and gradient were evaluated at its x; on return they are wanted at the new x
      type(lbfgs_type), intent(inout) :: state
      !> Converged when no component of the gradient is larger
      real(wp), intent(in) :: tolerance
      real(wp), intent(in) :: f
      real(wp), intent(in) :: g(:)
      real(wp) :: slope, slope_start, step
      logical :: accepted, failed

      associate (integers => state%integers, reals => state%reals)
         if (integers(i_task) == task_start) then
            integers = 0
            reals = 0.0_wp
            call begin_line(state, tolerance, f, g)
            return
         end if

         slope = dot_product(g, state%direction)
         step = reals(r_step)
         integers(i_trials) = integers(i_trials) + 1
         call continue_search(f, slope, step, reals(1:n_search_state), accepted, failed)
         failed = failed .or. integers(i_trials) >= max_trials
         if (.not. accepted .and. failed) then
            ! The interval is too narrow to go on; a lower value is still a step forward
            accepted = f < reals(r_f)
            if (accepted) step = reals(r_step)
         end if
         if (accepted) then
            slope_start = dot_product(state%g_start, state%direction)
            integers(i_iteration) = integers(i_iteration) + 1
            call remember(state, g, step, (slope - slope_start)*step, -slope_start*step)
            call begin_line(state, tolerance, f, g)
         else if (failed) then
            call start_again(state)
         else
            reals(r_step) = step
            state%x = state%x_start + step*state%direction
         end if
      end associate
   end subroutine lbfgs_step

   !> Start a line search from the current x, unless the gradient is as small as wanted
   subroutine begin_line(state, tolerance, f, g)
      type(lbfgs_type), intent(inout) :: state
      !> As for `lbfgs_step`
      real(wp), intent(in) :: tolerance, f, g(:)

      if (maxval(abs(g)) <= tolerance) then
         state%integers(i_task) = task_converged
         return
      end if
      state%x_start = state%x
      state%g_start = g
      call aim(state, f, g)
   end subroutine begin_line

   !> Bad memory, or rounding: go back and try again along the gradient, once
   subroutine start_again(state)
      type(lbfgs_type), intent(inout) :: state

      state%x = state%x_start
      if (state%integers(i_stored) == 0) then
         state%integers(i_task) = task_stuck
         return
      end if
      state%integers(i_stored) = 0
      state%integers(i_restarts) = state%integers(i_restarts) + 1
      call aim(state, state%reals(r_f), state%g_start)
   end subroutine start_again

   !> Choose the direction from x_start and the first trial along it
   subroutine aim(state, f, g)
      type(lbfgs_type), intent(inout) :: state
      !> At x_start
      real(wp), intent(in) :: f, g(:)
      real(wp) :: slope, first

      associate (integers => state%integers)
         call two_loops(state, g)
         slope = dot_product(g, state%direction)
         if (slope >= 0.0_wp) then
            integers(i_stored) = 0
            integers(i_restarts) = integers(i_restarts) + 1
            state%direction = -g
            slope = -dot_product(g, g)
         end if
         first = 1.0_wp
         if (integers(i_stored) == 0) then
            ! A step of length one, as in L-BFGS-B; after a restart no longer than the gradient
            first = min(1.0_wp/sqrt(-slope), longest_step)
            if (integers(i_restarts) > 0) first = min(1.0_wp, first)
         end if
         call start_search(f, slope, first, state%reals(1:n_search_state))
         state%reals(r_f) = f
         state%reals(r_step) = first
         integers(i_trials) = 0
         integers(i_task) = task_evaluate
         state%x = state%x_start + first*state%direction
      end associate
   end subroutine aim

   !> Keep the last step if it has positive curvature
   subroutine remember(state, g, step, change, scale)
      type(lbfgs_type), intent(inout) :: state
      !> Gradient at x; length of the step, change of the slope along it, and what that is compared with
      real(wp), intent(in) :: g(:), step, change, scale
      integer :: k

      if (change <= epsilon(1.0_wp)*scale) return
      k = mod(state%integers(i_newest), size(state%rho)) + 1
      state%s(:, k) = step*state%direction
      state%y(:, k) = g - state%g_start
      state%rho(k) = 1.0_wp/change
      state%reals(r_scale) = change/dot_product(state%y(:, k), state%y(:, k))
      state%integers(i_newest) = k
      state%integers(i_stored) = min(state%integers(i_stored) + 1, size(state%rho))
   end subroutine remember

   !> direction = -H g with the remembered steps (two-loop recursion)
   subroutine two_loops(state, g)
      type(lbfgs_type), intent(inout) :: state
      !> (n) gradient at x_start
      real(wp), intent(in) :: g(:)
      real(wp) :: alpha(size(state%rho)), beta
      integer :: i, k, m

      m = size(state%rho)
      associate (direction => state%direction)
         direction = -g
         if (state%integers(i_stored) == 0) return
         k = state%integers(i_newest)
         do i = 1, state%integers(i_stored)
            alpha(k) = state%rho(k)*dot_product(state%s(:, k), direction)
            direction = direction - alpha(k)*state%y(:, k)
            k = modulo(k - 2, m) + 1
         end do
         direction = state%reals(r_scale)*direction
         do i = 1, state%integers(i_stored)
            k = mod(k, m) + 1
            beta = state%rho(k)*dot_product(state%y(:, k), direction)
            direction = direction + (alpha(k) - beta)*state%s(:, k)
         end do
      end associate
   end subroutine two_loops

end module tf_lbfgs
